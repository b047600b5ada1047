"""Exporter of a worker's spans to a file, each as one line, at once: a kill cuts off the last one at most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from sagakit.otel import OtelTracing


class SpanLog(SpanExporter):
    """The file of one worker's spans."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans down."""
        for span in spans:
            self._file.write(msgspec.json.encode(_line(span)) + b"\n")
        return SpanExportResult.SUCCESS


def _line(span: ReadableSpan) -> dict[str, Any]:
    assert span.context is not None
    return {
        "trace": span.context.trace_id.to_bytes(16).hex(),
        "id": _hex(span.context.span_id),
        "parent": "" if span.parent is None else _hex(span.parent.span_id),
        "links": [_hex(link.context.span_id) for link in span.links],
        "name": span.name,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": dict(span.attributes or {}),
        "error": span.status.description or "",
    }


def _hex(id: int) -> str:
    return id.to_bytes(8).hex()


def logged_to(path: Path) -> OtelTracing:
    """Return what gives a worker's spans to this file."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(SpanLog(path)))
    return OtelTracing(provider)
