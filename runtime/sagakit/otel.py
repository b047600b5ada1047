"""Traces of sagas through OpenTelemetry. Needs the extra `otel`.

    from sagakit.otel import OtelTracing

    tracing = OtelTracing(provider)
    async with sagakit.open_runtime("nats://localhost", sagas=[PlaceOrder(shop)], tracing=tracing) as runtime:
        ...

docs/tracing.md says which spans there are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from sagakit.errors import InvalidConfig
from sagakit.extras import named
from sagakit.release import __version__
from sagakit.tracing import SagaSpan, SpanRef, TraceParent

try:
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.sdk.trace import Tracer
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import Decision
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as _error:
    raise named(_error, __name__, "otel") from None

_given: ContextVar[SpanRef | None] = ContextVar("sagakit_span", default=None)
"""The ids of the span that is being made."""
_log = logging.getLogger("sagakit.tracing")
_propagator = TraceContextTextMapPropagator()


class OtelTracing:
    """Exports spans through a tracer provider of OpenTelemetry's SDK; by default the global one.

    Give it to `open_runtime` and `open_participant`. Give the provider a `BatchSpanProcessor`: a processor that waits
    for the network would hold up all sagas. Raises InvalidConfig if there is no provider of the SDK.
    """

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        provider = trace.get_tracer_provider() if provider is None else provider
        tracer = provider.get_tracer("sagakit", __version__)
        if not isinstance(tracer, Tracer | trace.NoOpTracer):
            raise InvalidConfig(
                "tracing: there is no tracer provider of OpenTelemetry's SDK: pass OtelTracing(provider), or call "
                "opentelemetry.trace.set_tracer_provider(provider) before"
            )
        if isinstance(tracer, Tracer):  # of a scope of our own, so that no other tracer has these ids
            tracer.id_generator = _SagaIds()
        self._tracer = tracer
        self._commands: trace.Tracer = provider.get_tracer("sagakit.participant", __version__)

    # --------------------------------------------------------------- workers

    def export(self, span: SagaSpan) -> None:
        """Hand a span that has ended to the processors, with the ids that it has."""
        parent = span.parent
        if isinstance(parent, SpanRef):
            parent = parent.named(self.is_sampled)
        token = _given.set(span.ref)
        try:
            made = self._tracer.start_span(
                span.name,
                context=_context_of(parent),
                kind=trace.SpanKind.CLIENT if span.remote else trace.SpanKind.INTERNAL,
                attributes=span.attributes,
                links=[trace.Link(_span_context(link.named(self.is_sampled))) for link in span.links],
                start_time=_nanoseconds(span.start),
            )
        finally:
            _given.reset(token)
        if span.error:
            made.set_status(trace.Status(trace.StatusCode.ERROR, span.error))
        made.end(_nanoseconds(span.end))

    def is_sampled(self, ref: SpanRef) -> bool:
        """Return what the provider's sampler says of a trace; of one with a starter, what it says of a child."""
        if not isinstance(self._tracer, Tracer):
            return False
        parent = None if ref.sampled is None else _context_of(TraceParent(ref.trace_id, ref.span_id, ref.sampled))
        try:
            decision = self._tracer.sampler.should_sample(parent, ref.trace_id, "saga").decision
            return decision is Decision.RECORD_AND_SAMPLE
        except Exception:  # a sampler of the user's: no saga may suffer from it
            _log.exception("the sampler failed; the trace %032x is not sampled", ref.trace_id)
            return False

    @contextmanager
    def entered(self, span: TraceParent) -> Iterator[None]:
        """Make an attempt's span the current one. It is exported at its end, and cannot be changed before."""
        token = contexts.attach(trace.set_span_in_context(trace.NonRecordingSpan(_span_context(span))))
        try:
            yield
        finally:
            contexts.detach(token)

    # ---------------------------------------------------------- participants

    @contextmanager
    def handling(
        self, name: str, trace_context: Mapping[str, str] | None, attributes: Mapping[str, str | int]
    ) -> Iterator[_Handled]:
        """Begin the span of a command, make it current, and end it. An exception is recorded."""
        with self._commands.start_as_current_span(
            name,
            context=_propagator.extract(trace_context or {}, contexts.Context()),
            kind=trace.SpanKind.SERVER,
            attributes=attributes,
        ) as span:
            yield _Handled(span)


class TraceIds(logging.Filter):
    """Adds `trace_id` and `span_id` of the current span to each record. Add it to a handler: `addFilter(TraceIds())`.

    A record that has them already, as those of sagakit about an attempt, keeps them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids, and let the record pass."""
        span = trace.get_current_span().get_span_context()
        if span.is_valid and not hasattr(record, "trace_id"):
            record.trace_id = trace.format_trace_id(span.trace_id)
            record.span_id = trace.format_span_id(span.span_id)
        return True


class _Handled:
    """The span of a command that is being worked on."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def answered(self, answer: str, reason: str) -> None:
        """Note the answer. Those that leave the work undone or in doubt are errors of the span."""
        self._span.set_attribute("sagakit.answer", answer)
        if answer not in ("done", "gone"):
            self._span.set_status(trace.Status(trace.StatusCode.ERROR, reason or answer))


class _SagaIds(RandomIdGenerator):
    """Gives the span that is being made the ids of the saga's, so that it is the same span whoever exports it."""

    def is_trace_id_random(self) -> bool:
        return False  # so that the flags of a span are those of one with a starter

    def generate_trace_id(self) -> int:
        ref = _given.get()
        return super().generate_trace_id() if ref is None else ref.trace_id

    def generate_span_id(self) -> int:
        ref = _given.get()
        return super().generate_span_id() if ref is None else ref.span_id


def _span_context(span: TraceParent) -> trace.SpanContext:
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if span.sampled else trace.TraceFlags.DEFAULT)
    return trace.SpanContext(span.trace_id, span.span_id, is_remote=True, trace_flags=flags)


def _context_of(span: TraceParent | None) -> contexts.Context:
    """Return a context in which `span` is current; none is, whatever is current here, if it is None."""
    empty = contexts.Context()
    return empty if span is None else trace.set_span_in_context(trace.NonRecordingSpan(_span_context(span)), empty)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
