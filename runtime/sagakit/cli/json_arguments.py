"""JSON as an argument of a command."""

from __future__ import annotations

import msgspec

from sagakit.cli.exits import UsageError
from sagakit.cli.standard_input import bytes_within


def json_of(text: str) -> msgspec.Raw:
    """Return an argument that is JSON, or `@` and the name of a file with JSON. Raises UsageError."""
    try:
        data = _content(text[1:]) if text.startswith("@") else text.encode()
    except OSError as error:
        raise UsageError(f"{text}: {error.strerror}") from None
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{text[:60]!r} is not JSON: {error}; a text has quotes: '\"{text[:20]}\"'") from None
    return msgspec.Raw(data)


def _content(name: str) -> bytes:
    with open(name, "rb") as file:
        return bytes_within(file, name)
