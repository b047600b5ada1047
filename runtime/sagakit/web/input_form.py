"""The form for an input: its fields from a JSON Schema, and the JSON of what somebody has filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from sagakit.errors import UNREADABLE, InvalidInput

FieldKind: TypeAlias = Literal["text", "number", "flag", "choice", "json"]
TEXTS: frozenset[FieldKind] = frozenset({"text", "choice"})
"""Kinds whose fields are filled in as plain text, not as JSON."""
WHOLE = "input"
"""The name of the only field, where the input is not an object with known fields. A property may be called so, too."""
PREFIX = "field."
"""The beginning of the names of fields in the form."""
BOOLEANS = ("true", "false")
"""The choices, as JSON, of a boolean that may be left out: a box that is not ticked would send false."""


class FormField(NamedTuple):
    """A field. `default` is the text with which it begins; one that is not `required` may be left empty.

    If there are `choices`, only one of them may be filled in.
    """

    name: str
    kind: FieldKind
    required: bool
    default: str
    choices: Sequence[str] = ()
    note: str = ""

    @property
    def key(self) -> str:
        """The name of the field in the form."""
        return PREFIX + self.name


def fields_of(schema: Mapping[str, Any]) -> Sequence[FormField]:
    """Return the fields of the form for a schema: one for each property, or one for the whole value as JSON."""
    whole = _resolved(schema, schema)
    if "properties" not in whole:
        return [FormField(WHOLE, "json", True, "", note=_note(whole))]
    required = whole.get("required", ())
    return [_field(name, part, schema, name in required) for name, part in whole["properties"].items()]


def _field(name: str, part: Mapping[str, Any], schema: Mapping[str, Any], required: bool) -> FormField:
    own, default = _resolved(part, schema), part.get("default")
    plain = _plain(own, schema)
    kind = _kind(plain)
    choices = plain["enum"] if kind == "choice" else ()
    if kind == "flag" and plain is not own:
        kind, choices = "json", (*BOOLEANS, "null")
    elif kind == "flag" and not required and not isinstance(default, bool):  # its default is not known here
        kind, choices = "json", BOOLEANS
    return FormField(name, kind, required, _text(default, kind), choices, _note(plain))


def _kind(plain: Mapping[str, Any]) -> FieldKind:
    if "enum" in plain and all(isinstance(one, str) for one in plain["enum"]):
        return "choice"
    kinds: dict[object, FieldKind] = {"string": "text", "integer": "number", "number": "number", "boolean": "flag"}
    kind = plain.get("type")
    return kinds.get(kind, "json") if isinstance(kind, str) else "json"


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema without its reference to a class."""
    name = part.get("$ref", "").removeprefix("#/$defs/")
    found: Mapping[str, Any] = schema.get("$defs", {}).get(name, part) if name else part
    return found


def _plain(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a value that may also be null, without the null."""
    others = [one for one in part.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(others[0], schema) if len(others) == 1 else part


def _text(default: object, kind: FieldKind) -> str:
    """Return the text that stands for a default, as the form takes it back; empty if an empty field gives it."""
    if default in (None, ""):
        return ""
    return default if isinstance(default, str) and kind in TEXTS else _json(default)


def _note(part: Mapping[str, Any]) -> str:
    kind = part.get("format") or part.get("type", "")
    return kind if isinstance(kind, str) and kind != "string" else ""


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def input_of(schema: Mapping[str, Any], form: Mapping[str, str]) -> msgspec.Raw:
    """Return the JSON that the form of a schema gives. Numbers keep their digits.

    Raises InvalidInput, which names the field.
    """
    if "properties" not in _resolved(schema, schema):
        return msgspec.Raw(_checked(WHOLE, form.get(PREFIX + WHOLE, "")))
    parts = [(field, _value(field, form.get(field.key, ""))) for field in fields_of(schema)]
    texts = [_json(field.name).encode() + b":" + value for field, value in parts if value is not None]
    return msgspec.Raw(b"{" + b",".join(texts) + b"}")


def _value(field: FormField, text: str) -> bytes | None:
    """Return the JSON of a field; None if it is left out."""
    if field.kind == "flag":
        return b"true" if text else b"false"
    if not text and not (field.required and field.kind == "text"):
        return None
    return _json(text).encode() if field.kind in TEXTS else _checked(field.name, text, field.kind)


def _checked(name: str, text: str, kind: FieldKind = "json") -> bytes:
    try:
        msgspec.json.decode(text)
    except UNREADABLE as error:
        if kind == "number":
            raise InvalidInput(f"{name}: write a number, such as 7 or 1.5, not {text[:60]!r}") from None
        raise InvalidInput(f'{name}: write JSON, such as 7, [1, 2] or {{"name": "Ann"}}: {error}') from None
    return text.encode()
