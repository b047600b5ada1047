"""The form for an input or a payload: its fields from a JSON Schema, and the JSON of what somebody has filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from sagakit.errors import UNREADABLE, InvalidInput
from sagakit.web.problems import JsonFault, Problem

FieldKind: TypeAlias = Literal["text", "number", "flag", "choice", "json"]
TEXTS: frozenset[FieldKind] = frozenset({"text", "choice"})
"""Kinds whose fields are filled in as plain text, not as JSON."""
PREFIX = "field."
"""The beginning of the names of fields in the form."""
MOST = 16
"""Properties that have fields of their own: the form of a wider object is one field that takes JSON."""
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


class ValueForm(NamedTuple):
    """The form for a value of a schema.

    `name` says what the value is, and names the only field where it is not an object with known properties. A property
    may be called so, too.
    """

    name: str
    schema: Mapping[str, Any]

    @property
    def path(self) -> str:
        """The path of the value in faults."""
        return f"$.{self.name}"

    @property
    def fields(self) -> Sequence[FormField]:
        """The fields: one for each property, or one for the whole value; none for a value that can only be null."""
        whole = _resolved(self.schema, self.schema)
        if self._has_properties:
            required = whole.get("required", ())
            return [_field(name, part, self.schema, name in required) for name, part in whole["properties"].items()]
        if whole.get("type") == "null":
            return []
        may_be_null = _plain(whole, self.schema) is not whole
        return [_field(self.name, whole, self.schema, not may_be_null)]

    @property
    def _has_properties(self) -> bool:
        whole = _resolved(self.schema, self.schema)
        return "properties" in whole and len(whole["properties"]) <= MOST

    def value_of(self, filled: Mapping[str, str]) -> msgspec.Raw:
        """Return the JSON of what was filled in. Numbers keep their digits. Raises InvalidInput: it names the field."""
        parts = [(field, _value(field, filled.get(field.key, ""))) for field in self.fields]
        if not self._has_properties:
            return msgspec.Raw(next((_whole(field, value) for field, value in parts), b"null"))
        texts = [_json(field.name).encode() + b":" + value for field, value in parts if value is not None]
        return msgspec.Raw(b"{" + b",".join(texts) + b"}")

    def faults_of(self, error: Problem) -> str:
        """Return the faults of a value that does not fit, each in a line with its field, if it is in one."""
        faults: Sequence[JsonFault] = error.more.get("faults", ())
        places = [(one.path.removeprefix(self.path).lstrip("."), one.reason) for one in faults]
        return "\n".join(": ".join(filter(None, place)) for place in places) or str(error)


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


def _value(field: FormField, text: str) -> bytes | None:
    """Return the JSON of a field; None if it is left out."""
    if field.kind == "flag":
        return b"true" if text else b"false"
    if not text and not (field.required and field.kind == "text"):
        return None
    return _json(text).encode() if field.kind in TEXTS else _checked(field.name, text, field.kind)


def _whole(field: FormField, value: bytes | None) -> bytes:
    """Return the JSON of the only field. An empty one is null, unless it takes JSON or a number and has to be given."""
    if value is None and field.required and field.kind not in TEXTS:
        return _checked(field.name, "", field.kind)
    return b"null" if value is None else value


def _checked(name: str, text: str, kind: FieldKind) -> bytes:
    try:
        msgspec.json.decode(text)
    except UNREADABLE as error:
        if kind == "number":
            raise InvalidInput(f"{name}: write a number, such as 7 or 1.5, not {text[:60]!r}") from None
        raise InvalidInput(f'{name}: write JSON, such as 7, [1, 2] or {{"name": "Ann"}}: {error}') from None
    return text.encode()
