"""JSON Schemas and those within them: what a reference points at, and of which others a schema is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

SchemaNode: TypeAlias = Mapping[str, Any]
"""A schema, or one within another."""

ANNOTATIONS: frozenset[str] = frozenset(
    {"$defs", "$schema", "$comment", "title", "description", "default", "examples", "deprecated", "discriminator"}
)
"""Keywords that do not bound the values."""

_ANYTHING: SchemaNode = {}
_NOTHING: SchemaNode = {"enum": []}


def as_node(schema: SchemaNode | bool) -> SchemaNode:
    """The schema without the short form: `true` takes anything, `false` takes nothing."""
    if isinstance(schema, bool):
        return _ANYTHING if schema else _NOTHING
    return schema


def resolved(root: SchemaNode, schema: SchemaNode | bool) -> SchemaNode:
    """The schema that a reference points at; one that takes anything, if it points elsewhere or in a circle."""
    found = as_node(schema)
    for _ in range(100):
        if "$ref" not in found:
            return found
        beside = {key: value for key, value in found.items() if key != "$ref" and key not in ANNOTATIONS}
        target = as_node(_pointed_at(root, str(found["$ref"])))
        found = {**target, **beside} if beside else target
    return _ANYTHING


def _pointed_at(root: SchemaNode, reference: str) -> SchemaNode | bool:
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping | bool) else _ANYTHING


def alternatives(schema: SchemaNode) -> Sequence[SchemaNode] | None:
    """The schemas of which each value is of one; None if there is nothing to choose from."""
    if "enum" in schema:
        return [exactly(value) for value in schema["enum"]]
    if "const" in schema and "type" not in schema:
        return [exactly(schema["const"])]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            members: Sequence[SchemaNode] = schema[key]
            return members
    kinds = schema.get("type")
    return [{**schema, "type": kind} for kind in kinds] if isinstance(kinds, list) else None


def without(schema: SchemaNode, key: str) -> SchemaNode:
    """The rest of a schema."""
    return {name: value for name, value in schema.items() if name != key}


def exactly(value: object) -> SchemaNode:
    """The schema of this one value."""
    match value:
        case bool():
            return {"type": "boolean", "const": value}
        case int() | float():
            kind = "integer" if isinstance(value, int) else "number"
            return {"type": kind, "const": value, "minimum": value, "maximum": value}
        case str():
            return {"type": "string", "const": value, "minLength": len(value), "maxLength": len(value)}
        case list() | tuple():
            schema = {"type": "array", "const": value, "prefixItems": [exactly(one) for one in value], "items": False}
            distinct = len({msgspec.json.encode(one) for one in value}) == len(value)
            return {**schema, "minItems": len(value), "uniqueItems": distinct}
        case dict():
            fields = {str(name): exactly(one) for name, one in value.items()}
            return {"type": "object", "const": value, "properties": fields, "required": list(fields)}
        case _:
            return {"type": "null", "const": None}


def is_same(one: object, other: object) -> bool:
    """Whether two values are the same in JSON, where true is not 1; msgspec does not read 1.0 for 1 either."""
    return type(one) is type(other) and one == other
