"""JSON as an argument of a command."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sagakit.cli.exits import UsageError


def json_of(text: str) -> msgspec.Raw:
    """Return an argument that is JSON, or `@` and the name of a file with JSON. Raises UsageError."""
    try:
        data = Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()
    except OSError as error:
        raise UsageError(f"{text}: {error.strerror}") from None
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{text[:60]!r} is not JSON: {error}; a text has quotes: '\"{text[:20]}\"'") from None
    return msgspec.Raw(data)
