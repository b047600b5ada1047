"""The ports of tracing: how the spans of a worker and of a participant leave, and how one is made current."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from sagakit.tracing.saga_spans import SagaSpan
from sagakit.tracing.span_ids import SpanRef
from sagakit.tracing.trace_parent import TraceParent


@runtime_checkable
class Tracing(Protocol):
    """Exports the spans of one worker. `sagakit.otel.OtelTracing` does so through OpenTelemetry.

    All methods are called in the worker's trio thread, and must not block it.
    """

    def export(self, span: SagaSpan) -> None:
        """Hand over a span that has ended."""
        ...

    def is_sampled(self, ref: SpanRef) -> bool:
        """Return whether the trace of a span is exported. All workers must decide alike."""
        ...

    def entered(self, span: TraceParent) -> AbstractContextManager[object]:
        """Make an attempt's span the current one, for user code: its own spans become children."""
        ...


class HandledCommand(Protocol):
    """The span of one command that a participant works on."""

    def answered(self, answer: str, reason: str) -> None:
        """Note the answer; `reason` is empty if there is none."""
        ...


class CommandTracing(Protocol):
    """Makes the spans of one participant. `sagakit.otel.OtelTracing` does so through OpenTelemetry."""

    def handling(
        self, name: str, trace_context: Mapping[str, str] | None, attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[HandledCommand]:
        """Have a span, the current one, for a command: a child of the attempt that `trace_context` names."""
        ...
