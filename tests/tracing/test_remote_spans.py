"""The spans of attempts that other services make: one for each that a durable record has asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sagakit.definition.plan import Plan
from sagakit.engine import ENDS, Record
from sagakit.engine.table import UNDER_WAY
from sagakit.tracing import SagaSpan, attempt_ref, root_ref, spans_between

from tests.engine.remote_world import RemoteWorld, remote_plans


class TracedRemoteWorld(RemoteWorld):
    """A world of remote steps in which each durable write is turned into spans, as a worker does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.spans: list[SagaSpan] = []
        self.asked: dict[tuple[str, int], None] = {}
        self.before: Record | None = None
        super().__init__(*args, **options)

    def _write(self, record: Record) -> None:
        self.spans += spans_between(self.before, record)
        # an attempt that begins and ends within one turn was never asked for, and has no span
        self.asked |= {(step, log.calls): None for step, log in record.steps.items() if log.state in UNDER_WAY}
        self.before = record
        super()._write(record)

    def is_over(self, step: str, call: int) -> bool:
        """Return True if an attempt that was asked for has ended."""
        log = self.record.steps[step]
        return self.record.status in ENDS or log.state not in UNDER_WAY or log.calls > call


@settings(max_examples=40, deadline=None)
@given(plan=remote_plans(), data=st.data())
def test_each_attempt_that_was_asked_for_has_one_span(plan: Plan, data: Any) -> None:
    world = TracedRemoteWorld(plan, data)
    world.run()
    ended = [attempt_ref(world.record, *attempt).span_id for attempt in world.asked if world.is_over(*attempt)]
    root = [root_ref(world.record).span_id] * (world.record.status in ENDS)
    assert Counter(span.ref.span_id for span in world.spans) == Counter([*ended, *root])
    assert len({*ended, *root}) == len([*ended, *root])
    assert all(span.start <= span.end for span in world.spans)
