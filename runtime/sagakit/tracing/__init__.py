"""Spans of sagas: pure functions of records, and the ports through which they leave. Nothing here knows OpenTelemetry.

Two durable records that follow each other say which attempts have ended between them. Each record is written once, by
one owner, so each span has one content, whichever worker exports it.

trace_parent   the header `traceparent`, read and written
span_ids       the trace of a saga, and the ids of its spans: derived from the record, the same in every worker
saga_spans     the spans that have ended between two records
tracing_port   the ports: how spans are exported, and how one is made current for user code
"""

from sagakit.tracing.saga_spans import SagaSpan as SagaSpan
from sagakit.tracing.saga_spans import spans_between as spans_between
from sagakit.tracing.span_ids import SpanRef as SpanRef
from sagakit.tracing.span_ids import attempt_ref as attempt_ref
from sagakit.tracing.span_ids import root_ref as root_ref
from sagakit.tracing.trace_parent import TraceParent as TraceParent
from sagakit.tracing.trace_parent import parent_in as parent_in
from sagakit.tracing.tracing_port import CommandTracing as CommandTracing
from sagakit.tracing.tracing_port import HandledCommand as HandledCommand
from sagakit.tracing.tracing_port import Tracing as Tracing

__all__ = [
    "CommandTracing",
    "HandledCommand",
    "SagaSpan",
    "SpanRef",
    "TraceParent",
    "Tracing",
    "attempt_ref",
    "parent_in",
    "root_ref",
    "spans_between",
]
