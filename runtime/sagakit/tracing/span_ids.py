"""The trace of a saga, and the ids of its spans: derived from what its record says, so that every worker has the same.

A saga belongs to the trace of the one who started it, which its record keeps. Without one its trace is derived from its
run. A span's id is derived from the run, the step and the number of the call.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from sagakit.engine import Record
from sagakit.tracing.trace_parent import TraceParent, parent_in


class SpanRef(NamedTuple):
    """A span of a saga. `sampled` is what the starter's trace says; None if there is none: a sampler decides."""

    trace_id: int
    span_id: int
    sampled: bool | None

    def named(self, is_sampled: Callable[[SpanRef], bool]) -> TraceParent:
        """Return the span as other processes name it."""
        return TraceParent(self.trace_id, self.span_id, is_sampled(self))


def root_ref(record: Record) -> SpanRef:
    """Return the span of the whole saga."""
    return _ref(record, parent_in(record.trace), "")


def attempt_ref(record: Record, step: str, call: int) -> SpanRef:
    """Return the span of call number `call` of a step or item, of whichever kind the call is."""
    log = record.steps.get(step)
    # the name that the step had when the saga reached it: a new version may have another one
    name = step if log is None else log.named or step
    return _ref(record, parent_in(record.trace), f"{name}/{call}")


def _ref(record: Record, starter: TraceParent | None, part: str) -> SpanRef:
    span_id = _derived(f"{record.run}/{part}", 8)
    if starter is None:
        return SpanRef(_derived(record.run, 16), span_id, None)
    return SpanRef(starter.trace_id, span_id, starter.sampled)


def _derived(text: str, size: int) -> int:
    """Return `size` bytes as a number, which is not 0: that is no id."""
    return int.from_bytes(blake2b(text.encode(), digest_size=size).digest()) or 1
