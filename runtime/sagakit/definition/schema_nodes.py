"""The nodes of JSON Schemas: references, alternatives, and schemas of single values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

SchemaNode: TypeAlias = Mapping[str, Any]
"""A schema, or one within another."""

ANNOTATIONS: frozenset[str] = frozenset(
    {
        *("$defs", "$schema", "$comment", "title", "description", "default", "examples", "deprecated", "discriminator"),
        *("readOnly", "writeOnly"),
    }
)
"""Keywords that do not restrict values."""

INTEGER_KEY: str = r"^-?[0-9]+$"
"""The pattern of keys of a dict that are whole numbers: in JSON they are texts."""

NUMBER_KEY: str = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"
"""The pattern of keys of a dict that are numbers."""

_WITH_ZONE = {True: ("{}",), False: ("{}-local",), None: ("{}", "{}-local")}
"""Formats of a date-time, or a time, that must, must not or may have a time zone, as the OpenAPI registry has them."""

_ANYTHING: SchemaNode = {}
_NOTHING: SchemaNode = {"enum": []}


def times_schema(name: str, zone: bool | None) -> dict[str, Any]:
    """Return the schema of a `date-time` or a `time` that must, must not, or (with None) may have a time zone."""
    either = [{"type": "string", "format": form.format(name)} for form in _WITH_ZONE[zone]]
    return either[0] if len(either) == 1 else {"anyOf": either}


def as_node(schema: SchemaNode | bool) -> SchemaNode:
    """Return the long form of a schema: `true` takes anything, `false` takes nothing."""
    if isinstance(schema, bool):
        return _ANYTHING if schema else _NOTHING
    return schema


def resolved(root: SchemaNode, schema: SchemaNode | bool) -> SchemaNode:
    """Return the schema that a reference points at; one that takes anything if it points nowhere or in a circle."""
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
    """Return the alternatives that a schema is made of; None if it has none."""
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
    """Return the schema without one keyword."""
    return {name: value for name, value in schema.items() if name != key}


def exactly(value: object) -> SchemaNode:
    """Return the schema that takes this one value only."""
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
    """Return whether two values are the same in JSON. true is not 1, and msgspec does not read 1.0 for 1 either."""
    return type(one) is type(other) and one == other
