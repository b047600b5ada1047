"""Tracings that the tests give to `sagakit worker --tracing`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sagakit.tracing import SagaSpan, SpanRef, TraceParent

from tests.cli.jobs import note


class Noted:
    """A tracing that notes the names of the spans."""

    def export(self, span: SagaSpan) -> None:
        note(f"span {span.name}")

    def is_sampled(self, ref: SpanRef) -> bool:
        return True

    @contextmanager
    def entered(self, span: TraceParent) -> Iterator[None]:
        yield


noted = Noted()
nothing = 7


def made() -> Noted:
    note("made")
    return Noted()


def made_of(name: str) -> Noted:
    raise NotImplementedError(name)
