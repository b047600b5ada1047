"""The header `traceparent` of W3C Trace Context, which names a span in another process."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

HEADER = "traceparent"
_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


class TraceParent(NamedTuple):
    """A span in a trace, and whether the trace is sampled."""

    trace_id: int
    span_id: int
    sampled: bool

    def __str__(self) -> str:
        """Return the header."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.sampled:02x}"


def parent_in(trace: Mapping[str, str] | None) -> TraceParent | None:
    """Return the span that a trace context names; None if there is none, or if it cannot be read.

    Source: https://www.w3.org/TR/trace-context/, "traceparent Header".
    """
    found = _FORM.fullmatch((trace or {}).get(HEADER, ""))
    if found is None or (found[4] and found[0].startswith("00")):
        return None
    return TraceParent(int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & _SAMPLED))
