"""The tracer: what a worker does with spans. Without a `Tracing` it does nothing, and costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from logging import ERROR, getLogger
from typing import TypeAlias

from sagakit.engine import Record
from sagakit.ration import Ration
from sagakit.tracing import Tracing, attempt_ref, root_ref, spans_between
from sagakit.tracing.trace_parent import HEADER

_log = getLogger("sagakit.tracing")

Written: TypeAlias = Callable[[Record | None, Record], None]
"""Function that is called when a record is durable, with the one that it has replaced."""


class SagaTracer:
    """Exports the spans of one worker's sagas, each once its end is durable. For the trio thread."""

    def __init__(self, tracing: Tracing | None = None) -> None:
        self._tracing = tracing
        self._ration = Ration(_log)

    def after(self, written: Written) -> Written:
        """Return a function that calls `written` and exports what has ended; `written` itself if nothing is traced."""
        return written if self._tracing is None else partial(self._both, written, self._tracing)

    def trace_of(self, record: Record, step: str, call: int) -> dict[str, str] | None:
        """Return the trace context for what an attempt causes elsewhere. Untraced it is the starter's."""
        if self._tracing is None:
            return record.trace
        parent = attempt_ref(record, step, call).named(self._tracing.is_sampled)
        return {**(record.trace or {}), HEADER: str(parent)}

    def log_ids(self, record: Record, step: str = "", call: int = 0) -> dict[str, str]:
        """Return the ids for a log line on an attempt, or without a step for one on the saga."""
        if self._tracing is None:
            return {}
        ref = attempt_ref(record, step, call) if step else root_ref(record)
        return {"trace_id": f"{ref.trace_id:032x}", "span_id": f"{ref.span_id:016x}"}

    def _both(self, written: Written, tracing: Tracing, before: Record | None, record: Record) -> None:
        written(before, record)
        try:
            for span in spans_between(before, record):
                tracing.export(span)
        except Exception as error:  # a span processor of the user's: no saga may suffer from it
            self._ration.say(ERROR, "spans of %s.%s are lost: %r", record.saga_type, record.saga_id, error)
