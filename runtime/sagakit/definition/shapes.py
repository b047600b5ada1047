"""Descriptions of JSON Schemas in a few words, for error messages."""

from __future__ import annotations

from typing import Any

import msgspec

MOST = 200
"""Highest number of characters of one description."""

_BOUNDS = (
    "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "pattern", "minProperties", "maxProperties", "minItems", "maxItems",
)  # fmt: skip


def shape(schema: Any) -> str:
    """Return a description of a schema's values in a few words. Classes within are named, not unfolded."""
    text = _shape(schema)
    return text if len(text) <= MOST else f"{text[: MOST - 3]}..."


def _shape(schema: Any) -> str:
    if isinstance(schema, bool) or not schema:
        return "nothing" if schema is False else "anything"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return _json(schema["const"])
    if "enum" in schema:
        return " | ".join(map(_json, schema["enum"])) or "nothing"
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " | ".join(map(_shape, options))
    return _plain(schema) + _bounds(schema)


def _plain(schema: Any) -> str:
    match schema.get("type"):
        case "object":
            return _object(schema)
        case "array" if "prefixItems" in schema:
            return f"[{', '.join(map(_shape, schema['prefixItems']))}]"
        case "array":
            return f"list of {_shape(schema.get('items', {}))}"
        case "string":
            return str(schema.get("format") or schema.get("contentEncoding") or "string")
        case None:
            return "anything"
        case list() as several:
            return " | ".join(several)
        case name:
            return str(name)


def _object(schema: Any) -> str:
    if "properties" not in schema:
        return f"dict of {_shape(schema.get('additionalProperties', {}))}"
    required = schema.get("required", ())
    fields = (f"{name}{'' if name in required else '?'}: {_shape(one)}" for name, one in schema["properties"].items())
    return f"{{{', '.join(fields)}}}"


def _bounds(schema: Any) -> str:
    if "prefixItems" in schema:
        return ""
    said = [f"{key} {_json(schema[key])}" for key in _BOUNDS if key in schema]
    return f" ({', '.join(said)})" if said else ""


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
