"""JSON Schemas in the dialect of AsyncAPI 3, which is that of draft 7, and back.

sagakit's schemas are of 2020-12, each complete in itself. In a document the classes of all schemas are components, and
the items of a tuple have the name that draft 7 gives them. Nothing is lost but `discriminator`, which restricts nothing
and has another form in AsyncAPI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sagakit.definition.json_schema import DIALECT, Schema

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
"""The dialect of the schemas of a document."""
CLASSES = "#/components/schemas/"
"""The beginning of a reference to a class, in a document."""
_OWN = "#/$defs/"
_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
_ONES = ("items", "additionalItems", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else")


class Classes:
    """The classes of a document's schemas by their names. Equal classes are kept once."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self._names: dict[bytes, str] = {}

    def hoisted(self, schema: Mapping[str, Any]) -> Schema:
        """Return a schema that is complete in itself as one of the document, where its classes are components."""
        own: Mapping[str, Schema] = schema.get("$defs", {})
        bare = {key: value for key, value in schema.items() if key not in ("$defs", "$schema")}
        return _in_draft_7(bare, self._names_of(bare, own))

    def _names_of(self, schema: Mapping[str, Any], own: Mapping[str, Schema]) -> dict[str, str]:
        """Keep the classes that a schema points at. Return their references in the document by those in the schema."""
        return {one: f"{CLASSES}{self._keep(one.removeprefix(_OWN), own)}" for one in _references(schema)}

    def _keep(self, name: str, own: Mapping[str, Schema]) -> str:
        """Keep a class unless one that is equal, with all classes within, is kept. Return its name in the document."""
        key = msgspec.json.encode([name, {one: own[one] for one in sorted(_reached(name, own))}], order="sorted")
        if key not in self._names:
            kept = self._names[key] = self._free_name(name)
            self.schemas[kept] = {}  # first: it may contain itself
            self.schemas[kept] = _in_draft_7(own[name], self._names_of(own[name], own))
        return self._names[key]

    def _free_name(self, name: str) -> str:
        number = 1
        while (free := name if number == 1 else f"{name}-{number}") in self.schemas:
            number += 1
        return free


def complete(schema: Mapping[str, Any], classes: Mapping[str, Schema]) -> Schema:
    """Return a document's schema in the draft 2020-12, complete with all classes that it refers to."""
    within = {name: _in_2020_12(one) for name, one in classes.items()}
    return {**_in_2020_12(schema), "$schema": DIALECT, "$defs": within}


def _reached(name: str, own: Mapping[str, Schema]) -> set[str]:
    """Return a class and all classes that it refers to."""
    found: set[str] = set()
    ahead = [name]
    while ahead:
        one = ahead.pop()
        if one in own and one not in found:
            found.add(one)
            ahead += [reference.removeprefix(_OWN) for reference in _references(own[one])]
    return found


def _references(schema: Mapping[str, Any]) -> list[str]:
    found: list[str] = []

    def look(node: Schema) -> Schema:
        found.extend([node["$ref"]] if "$ref" in node else [])
        return node

    _walked(schema, look)
    return found


def _in_draft_7(schema: Mapping[str, Any], names: Mapping[str, str]) -> Schema:
    def change(node: Schema) -> Schema:
        node.pop("discriminator", None)
        if "$ref" in node:
            node["$ref"] = names.get(node["$ref"], node["$ref"])
        if "prefixItems" in node:
            rest = {"additionalItems": node.pop("items")} if "items" in node else {}
            node |= {"items": node.pop("prefixItems"), **rest}
        return node

    found: Schema = _walked(schema, change)
    return found


def _in_2020_12(schema: Mapping[str, Any]) -> Schema:
    def change(node: Schema) -> Schema:
        if "$ref" in node:
            node["$ref"] = node["$ref"].replace(CLASSES, _OWN)
        if isinstance(node.get("items"), list):
            rest = {"items": node.pop("additionalItems")} if "additionalItems" in node else {}
            node |= {"prefixItems": node.pop("items"), **rest}
        return node

    found: Schema = _walked(schema, change)
    return found


def _walked(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """Return a copy of a schema in which each schema within, and then itself, was changed. Values are left alone."""
    if not isinstance(schema, Mapping):
        return schema  # true takes anything, false takes nothing
    node: Schema = dict(schema)
    for key, value in schema.items():
        if key in _MAPS:
            node[key] = {name: _walked(one, change) for name, one in value.items()}
        elif key in _LISTS and isinstance(value, list | tuple):
            node[key] = [_walked(one, change) for one in value]
        elif key in _ONES:
            node[key] = _walked(value, change)
    return change(node)
