"""The limit on the nesting of a value: a record that holds it must be readable from any stack."""

from __future__ import annotations

import re

import msgspec

MAX_NESTED = 500
"""Highest number of nested lists and objects in a value. The parser uses a stack frame for each, and Python allows
a thousand: half of them are left to the code that reads."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def check_nesting(value: bytes | msgspec.Raw) -> None:
    """Raise ValueError if this JSON is nested too deeply."""
    data = bytes(value)
    if len(data) <= MAX_NESTED or data.count(b"[") + data.count(b"{") <= MAX_NESTED:
        return  # nearly always, and cheap to see
    depth = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_NESTED:
            raise ValueError(f"it is nested more than {MAX_NESTED} levels deep")
