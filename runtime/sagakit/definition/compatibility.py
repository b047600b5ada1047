"""The comparison of two JSON Schemas: can values written under one be read under the other?

`readable` compares two schemas as sets of values: each value of the one must be a value of the other. A writer writes
the fields that it declares and no others, and a field that is not required may be missing. A reader ignores fields that
it does not declare, unless `additionalProperties` is false.

Some questions cannot be decided; then the answer is that the value can be read. These are: two different `pattern`s,
an unknown `format`, keywords such as `not` and `if`, values that code of the type itself refuses, and undeclared fields
under the name of a field that the reader declares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sagakit.definition.bounds import (
    item_at,
    longest_written,
    takes_length,
    takes_number,
    takes_size,
    takes_text,
)
from sagakit.definition.schema_nodes import (
    ANNOTATIONS,
    SchemaNode,
    alternatives,
    as_node,
    exactly,
    is_same,
    resolved,
    without,
)
from sagakit.definition.shapes import shape

MOST = 20
"""Highest number of incompatibilities in one answer."""


class Incompatibility(NamedTuple):
    """The place of a value that cannot be read, such as `$.lines[].price`, and the reason."""

    path: str
    reason: str


def readable(writer: SchemaNode | bool, reader: SchemaNode | bool) -> list[Incompatibility]:
    """Return the reasons why values written under `writer` cannot be read under `reader`; none if all can.

    Each schema is complete in itself: a `$ref` within it points at its own `$defs`.
    """
    comparison = _SchemaComparison(writer, reader)
    while True:
        found = comparison.begin()
        if not comparison.shaken:
            return [Incompatibility(f"${path}", reason) for path, reason in found]


def accepts(schema: SchemaNode | bool, value: object) -> bool:
    """Return whether a JSON value can be read under a schema."""
    return not readable(exactly(value), schema)


class _SchemaComparison:
    """The comparison of two schemas, which may contain themselves.

    A pair of nodes that is met again during its own comparison is assumed to be readable. If the assumption proves
    wrong, `shaken` says that the comparison must begin again. It remembers the pairs that failed, so that it ends.
    """

    def __init__(self, writer: SchemaNode | bool, reader: SchemaNode | bool) -> None:
        self._writer = as_node(writer)
        self._reader = as_node(reader)
        self._failed: dict[tuple[int, int], list[Incompatibility]] = {}
        self._assumed: set[tuple[int, int]] = set()
        self._relied_on: set[tuple[int, int]] = set()
        self._alive: list[
            tuple[SchemaNode, SchemaNode]
        ] = []  # nodes are known by their addresses: none may be used again
        self.shaken: bool = False

    def begin(self) -> list[Incompatibility]:
        """Compare the two schemas. Paths come without their leading `$`."""
        self._assumed.clear()
        self._relied_on.clear()
        self.shaken = False
        return self._compare(self._writer, self._reader)

    def _compare(self, written: SchemaNode | bool, read: SchemaNode | bool) -> list[Incompatibility]:
        """Compare two nodes. Paths are relative to them."""
        written, read = resolved(self._writer, written), resolved(self._reader, read)
        pair = (id(written), id(read))
        if pair in self._failed:
            return self._failed[pair]
        if pair in self._assumed:
            self._relied_on.add(pair)
            return []
        self._alive.append((written, read))
        self._assumed.add(pair)
        found = self._compared(written, read)[:MOST]
        if found:
            self._assumed.discard(pair)
            self._failed[pair] = found
            self.shaken = self.shaken or pair in self._relied_on
        return found

    def _compared(self, written: SchemaNode, read: SchemaNode) -> list[Incompatibility]:
        if read.keys() <= ANNOTATIONS:
            return []
        options = alternatives(written)
        if options is not None:
            return [one for option in options for one in self._compare(option, read)]
        if "allOf" in written:  # a value is of each of them: it is enough that the reader takes all of one
            rest = without(written, "allOf")
            readable = any(not self._compare(part, read) for part in (*written["allOf"], rest))
            return [] if readable else _differ(written, read)
        for key in ("anyOf", "oneOf"):
            if key in read:
                return self._any(written, read, read[key]) or self._compare(written, without(read, key))
        if "allOf" in read:
            parts = (*read["allOf"], without(read, "allOf"))
            return [one for part in parts for one in self._compare(written, part)]
        if isinstance(read.get("type"), list):
            return self._any(written, read, [{**read, "type": one} for one in read["type"]])
        return self._of_one_type(written, read)

    def _any(self, written: SchemaNode, read: SchemaNode, options: Sequence[SchemaNode]) -> list[Incompatibility]:
        """Compare with the members of a union: one must take it. If only one has the same type, give its reasons."""
        likely: list[list[Incompatibility]] = []
        for option in options:
            found = self._compare(written, option)
            if not found:
                return []
            if resolved(self._reader, option).get("type") == written.get("type"):
                likely.append(found)
        return likely[0] if len(likely) == 1 else _differ(written, read)

    # --------------------------------------------------------------- by type

    def _of_one_type(self, written: SchemaNode, read: SchemaNode) -> list[Incompatibility]:
        if "enum" in read or "const" in read:
            allowed = read["enum"] if "enum" in read else [read["const"]]
            known = "const" in written and any(is_same(written["const"], one) for one in allowed)
            return [] if known else _differ(written, read)
        kind, wanted = written.get("type"), read.get("type")
        if wanted is not None and kind != wanted and (kind, wanted) != ("integer", "number"):
            return _differ(written, read)
        match kind:
            case "integer" | "number":
                return [] if takes_number(written, read) else _differ(written, read)
            case "string":
                return [] if takes_text(written, read) else _differ(written, read)
            case "array":
                return self._arrays(written, read)
            case "object":
                return self._objects(written, read)
            case _:  # anything is written, or what has no bounds
                unlike = [key for key in read.keys() - ANNOTATIONS if written.get(key) != read[key]]
                return _differ(written, read) if unlike else []

    def _arrays(self, written: SchemaNode, read: SchemaNode) -> list[Incompatibility]:
        if not takes_length(written, read):
            return _differ(written, read)
        found: list[Incompatibility] = []
        places = max(len(one.get("prefixItems", ())) for one in (written, read))
        for place in range(int(min(places, longest_written(written)))):
            found += _within(f"[{place}]", self._compare(item_at(written, place), item_at(read, place)))
        if longest_written(written) > places:
            found += _within("[]", self._compare(item_at(written, places), item_at(read, places)))
        return found

    def _objects(self, written: SchemaNode, read: SchemaNode) -> list[Incompatibility]:
        own, wanted = written.get("properties", {}), read.get("properties", {})
        rest, others = _undeclared(written), read.get("additionalProperties", True)
        found = [] if takes_size(written, read) else _differ(written, read)
        found += _missing(written, read)
        for name, field in own.items():
            found += _within(f".{name}", self._field(name, field, wanted.get(name, others), read))
        if rest is not False:
            for name in wanted.keys() - own.keys():
                found += _within(f".{name}", self._compare(rest, wanted[name]))
            found += _within("[]", self._compare(rest, others))
            found += self._names({"type": "string", **written.get("propertyNames", {})}, read)
        return found

    def _field(
        self, name: str, written: SchemaNode, reader: SchemaNode | bool, within: SchemaNode
    ) -> list[Incompatibility]:
        if reader is False:
            return [Incompatibility("", f"it is written as {shape(written)}, and no such field may be there")]
        return [*self._compare(written, reader), *self._names(exactly(name), within)]

    def _names(self, written: SchemaNode, read: SchemaNode) -> list[Incompatibility]:
        """Compare the names of fields."""
        names = read.get("propertyNames")
        return [] if names is None else self._compare(written, {"type": "string", **names})


def _undeclared(written: SchemaNode) -> SchemaNode | bool:
    """Return the schema of written fields that are not declared. A class has none; a dict has only those."""
    found: SchemaNode | bool = written.get("additionalProperties", "properties" not in written)
    return found


def _missing(written: SchemaNode, read: SchemaNode) -> list[Incompatibility]:
    found: list[Incompatibility] = []
    for name in read.get("required", ()):
        if name not in written.get("required", ()):
            how = "may be missing in" if name in written.get("properties", {name: True}) else "is missing in"
            text = f"it is required, and {how} what is written as {shape(written)} and read as {shape(read)}"
            found.append(Incompatibility(f".{name}", text))
    return found


def _differ(written: SchemaNode, read: SchemaNode) -> list[Incompatibility]:
    return [Incompatibility("", f"it is written as {shape(written)} and read as {shape(read)}")]


def _within(where: str, found: Sequence[Incompatibility]) -> list[Incompatibility]:
    return [Incompatibility(f"{where}{path}", reason) for path, reason in found]
