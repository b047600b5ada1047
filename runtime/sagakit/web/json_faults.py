"""JSON values against a JSON Schema: the places at which one does not fit, and whether two are the same."""

from __future__ import annotations

from itertools import islice
from typing import Any

import msgspec
from jsonschema import Draft202012Validator
from referencing import Registry

from sagakit.errors import UNREADABLE
from sagakit.web.problems import JsonFault, Problem

MOST = 10
"""Faults that one answer names."""
MAX_REASON = 300
"""Characters of a reason: it may repeat the value."""


def check_fits(value: msgspec.Raw, schema: dict[str, Any], *, what: str, path: str) -> None:
    """Raise a Problem unless a value fits the schema. `what` names the value in the text, `path` is the path to it."""
    try:
        found = _faults(msgspec.json.decode(value), schema, path)
    except UNREADABLE as error:
        found = [JsonFault(path, str(error))]
    if found:
        more = "" if len(found) == 1 else f" ({len(found)} faults)"
        raise Problem(
            422, "InvalidInput", f"{what} does not fit its schema: {found[0].reason} - at `{found[0].path}`{more}",
            faults=found,
        )  # fmt: skip


def is_same(one: msgspec.Raw, other: msgspec.Raw, schema: dict[str, Any]) -> bool:
    """Return True if two values are equal once the defaults of the schema are filled in. False if that is not sure."""
    try:
        filled = [_filled(msgspec.json.decode(value), schema, schema) for value in (one, other)]
    except UNREADABLE:
        return False
    return msgspec.json.encode(filled[0], order="sorted") == msgspec.json.encode(filled[1], order="sorted")


def _filled(value: Any, schema: Any, whole: dict[str, Any]) -> Any:
    if not isinstance(schema, dict):
        return value
    reference = schema.get("$ref", "")
    if reference:
        return _filled(value, whole.get("$defs", {}).get(reference.removeprefix("#/$defs/")), whole)
    if isinstance(value, dict) and "properties" in schema:
        parts = schema["properties"]
        missing = {name: part["default"] for name, part in parts.items() if "default" in part and name not in value}
        return {name: _filled(part, parts.get(name), whole) for name, part in {**missing, **value}.items()}
    if isinstance(value, list):
        return [_filled(part, schema.get("items"), whole) for part in value]
    return value


def _faults(value: Any, schema: dict[str, Any], path: str) -> list[JsonFault]:
    # the empty registry: a reference to another document is never fetched
    validator = Draft202012Validator(schema, registry=Registry())
    errors = islice(validator.iter_errors(value), MOST)
    return [JsonFault(path + error.json_path.removeprefix("$"), _cut(error.message)) for error in errors]


def _cut(text: str) -> str:
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON // 2]} … {text[-MAX_REASON // 2 :]}"
