"""Spans that OpenTelemetry's SDK has exported to memory."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler
from opentelemetry.trace import Tracer
from sagakit.otel import OtelTracing


class Exported:
    """The way out for the spans of one process, which a test can look into."""

    def __init__(self, sampler: Sampler = DEFAULT_ON) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = OtelTracing(self.provider)
        self.tracer: Tracer = self.provider.get_tracer("the user's own")

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans of this name."""
        return [span for span in self.spans if span.name == name]

    def only(self, name: str) -> ReadableSpan:
        """Return the one span of this name."""
        [found] = self.named(name)
        return found


def span_id(span: ReadableSpan) -> int:
    """Return the id of a span."""
    assert span.context is not None
    found: int = span.context.span_id
    return found


def parent_id(span: ReadableSpan) -> int | None:
    """Return the id of a span's parent; None for the first one of a trace."""
    return None if span.parent is None else span.parent.span_id


def links_of(span: ReadableSpan) -> list[int]:
    """Return the ids of the spans that a span is linked to."""
    return [link.context.span_id for link in span.links]


def traces_of(spans: list[ReadableSpan]) -> set[int]:
    """Return the ids of the traces that the spans belong to."""
    return {span.context.trace_id for span in spans if span.context is not None}


def outcome_of(span: ReadableSpan) -> object:
    """Return how an attempt ended."""
    return (span.attributes or {})["sagakit.outcome"]
