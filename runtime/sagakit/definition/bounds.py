"""The bounds of numbers, texts, arrays and objects in JSON Schemas, and their comparison."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor, inf
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from sagakit.definition.schema_nodes import SchemaNode

_FORMATS: dict[str, Any] = {
    "base64": bytes,
    "date": date,
    "date-time": Annotated[datetime, Meta(tz=True)],
    "date-time-local": Annotated[datetime, Meta(tz=False)],
    "decimal": Decimal,
    "duration": timedelta,
    "time": Annotated[time, Meta(tz=True)],
    "time-local": Annotated[time, Meta(tz=False)],
    "uuid": UUID,
}


def takes_number(written: SchemaNode, read: SchemaNode) -> bool:
    """Return whether the reader takes every number that is written."""
    for least, above, sign in (("minimum", "exclusiveMinimum", 1), ("maximum", "exclusiveMaximum", -1)):
        if _bound(written, least, above, sign) < _bound(read, least, above, sign):
            return False
    step = read.get("multipleOf")
    if step is None:
        return True
    unit = written.get("const", written.get("multipleOf", 1 if written["type"] == "integer" else None))
    return unit is not None and Fraction(str(unit)) % Fraction(str(step)) == 0


def _bound(schema: SchemaNode, least: str, above: str, sign: int) -> tuple[float, bool]:
    """Return the lower bound, and True if it is exclusive. With sign -1: the upper bound, mirrored at 0."""
    bounds: list[tuple[float, bool]] = [(-inf, False)]
    whole = schema.get("type") == "integer"
    if least in schema:
        value = sign * schema[least]
        bounds.append((ceil(value) if whole else value, False))
    if above in schema:
        value = sign * schema[above]
        bounds.append((floor(value) + 1, False) if whole else (value, True))
    return max(bounds)


def takes_text(written: SchemaNode, read: SchemaNode) -> bool:
    """Return whether the reader takes every string that is written."""
    for key in ("format", "contentEncoding"):
        form = read.get(key)
        if (
            form not in (None, "password")  # which only asks a form to hide what is typed
            and written.get(key) != form
            and not ("const" in written and _is_of(form, written["const"]))
        ):
            return False
    return _is_range_within(written, read, "minLength", "maxLength") and _takes_pattern(written, read)


def _is_of(form: str, text: str) -> bool:
    """Return whether a text is of this format. A format that is unknown here takes any text."""
    try:
        msgspec.convert(text, _FORMATS.get(form, Any))
    except msgspec.ValidationError:
        return False
    return True


def _takes_pattern(written: SchemaNode, read: SchemaNode) -> bool:
    pattern = read.get("pattern")
    if pattern is None:
        return True
    if "const" not in written:
        return "pattern" in written  # whether another one says the same cannot be decided
    try:
        return re.search(pattern, written["const"]) is not None
    except re.error:  # it is written for another language than Python
        return True


def _is_range_within(written: SchemaNode, read: SchemaNode, least: str, most: str) -> bool:
    return bool(written.get(least, 0) >= read.get(least, 0) and written.get(most, inf) <= read.get(most, inf))


def takes_length(written: SchemaNode, read: SchemaNode) -> bool:
    """Return whether the reader takes the shortest and the longest array that is written."""
    least, fewest = written.get("minItems", 0), read.get("minItems", 0)
    if read.get("uniqueItems") and not written.get("uniqueItems"):
        least = min(least, 1)  # they may all be the same
    longest = read.get("maxItems", len(read.get("prefixItems", ())) if read.get("items") is False else inf)
    return bool(least >= fewest and longest_written(written) <= longest)


def longest_written(written: SchemaNode) -> float:
    """Return the length of the longest array that is written; infinite if nothing bounds it."""
    places: Sequence[SchemaNode] | None = written.get("prefixItems")
    closed = written.get("items") is False or (places is not None and "items" not in written)
    found: float = written.get("maxItems", inf)
    return min(found, len(places or ())) if closed else found


def item_at(schema: SchemaNode, place: int) -> SchemaNode | bool:
    """Return the schema of the item at this place of an array."""
    places: Sequence[SchemaNode] = schema.get("prefixItems", ())
    found: SchemaNode | bool = places[place] if place < len(places) else schema.get("items", True)
    return found


def takes_size(written: SchemaNode, read: SchemaNode) -> bool:
    """Return whether the reader takes the fewest and the most fields that are written."""
    least = max(written.get("minProperties", 0), len(written.get("required", ())))
    closed = "properties" in written and not written.get("additionalProperties", False)
    most = min(written.get("maxProperties", inf), len(written["properties"]) if closed else inf)
    return bool(least >= read.get("minProperties", 0) and most <= read.get("maxProperties", inf))
