"""The plan of a job: what a verb would do to the sagas that were chosen, before any of them is sent anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from sagakit.client.jobs import JobItem, JobVerb
from sagakit.client.trials import NO_WORKER, Answer
from sagakit.definition import Plan
from sagakit.engine import Record, to_undo
from sagakit.naming import SagaKey

UNDOING = frozenset({"cancel", "compensate"})
"""Verbs after which compensations run."""


class JobPlan(NamedTuple):
    """Numbers of sagas: by type and status, by the verdict to expect, and by the compensations that would run."""

    sagas: Counter[tuple[str, str]]
    verdicts: Counter[str]
    undone: Counter[str]


async def plan_of_job(
    verb: JobVerb,
    records: Sequence[Record],
    expected: Sequence[Answer],
    plan_of: Callable[[Record], Awaitable[Plan | None]],
) -> JobPlan:
    """Return the plan of a verb, from the answers that the sagas are expected to give."""
    undone = Counter[str]()
    for record, answer in zip(records, expected, strict=True):
        plan = await plan_of(record) if verb in UNDOING and answer.applied else None
        undone.update(() if plan is None else to_undo(plan, record))
    kinds = Counter((record.saga_type, str(record.status)) for record in records)
    return JobPlan(kinds, Counter(answer.verdict for answer in expected), undone)


def item_of(record: Record, expected: Answer) -> JobItem:
    """Return a saga for the list of a job. One that no live worker can run has its verdict, and is sent nothing."""
    key = str(SagaKey(record.saga_type, record.saga_id))
    item = JobItem(key=key, run=record.run, status=record.status)
    if expected.verdict == NO_WORKER:
        item.verdict, item.why = expected
    return item
