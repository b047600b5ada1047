"""The time axis of a saga: the attempts of its steps as bars, from its beginning to its end or to now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sagakit.client.attempts import Attempt, AttemptKind
from sagakit.client.description import Description

ROWS = 100
"""Steps and items that an axis shows, the first ones that began."""
TICKS = 4
"""Parts into which the marks divide the axis."""
NO_TIME = timedelta()


class Bar(NamedTuple):
    """An attempt. `left` and `width` are in percent of the axis, and so is `wait`: the time until the next attempt."""

    kind: AttemptKind
    left: float
    width: float
    wait: float
    ended: bool
    failed: bool


class AxisRow(NamedTuple):
    """The attempts of a step, and the time that they took together; None if no event tells."""

    name: str
    bars: Sequence[Bar]
    took: timedelta | None

    @property
    def open(self) -> bool:
        """True while one of them is under way."""
        return not all(bar.ended for bar in self.bars)


class TimeAxis(NamedTuple):
    """The axis. `marks` are the lengths of time at its marks; `hidden` rows are left out."""

    rows: Sequence[AxisRow]
    marks: Sequence[timedelta]
    hidden: int


def time_axis(saga: Description, now: datetime) -> TimeAxis:
    """Return the axis of a saga up to its last change; up to now while an attempt is under way."""
    attempts = {step.name: [one for one in step.attempts if _start(one)] for step in saga.steps if step.attempts}
    is_at_work = any(one.at is None and one.error is None for some in attempts.values() for one in some)
    scale = _Scale(saga.created_at, max(now, saga.updated_at) if is_at_work else saga.updated_at)
    begun = sorted(((some[0], name) for name, some in attempts.items() if some), key=lambda pair: _start(pair[0]))
    rows = [
        AxisRow(name, [scale.bar(one) for one in attempts[name]], _took(attempts[name])) for _, name in begun[:ROWS]
    ]
    marks = [scale.length * part / TICKS for part in range(TICKS + 1)]
    return TimeAxis(rows, marks, max(len(begun) - ROWS, 0))


class _Scale:
    def __init__(self, begin: datetime, end: datetime) -> None:
        self._begin = begin
        self.length = max(end - begin, timedelta(milliseconds=1))

    def _percent(self, time: datetime) -> float:
        return round(100 * min(max((time - self._begin) / self.length, 0), 1), 3)

    def bar(self, attempt: Attempt) -> Bar:
        left = self._percent(_start(attempt))
        right = 100.0 if attempt.at is None else self._percent(attempt.at)
        wait = 0.0 if attempt.next_at is None else max(self._percent(attempt.next_at) - right, 0)
        failed, ended = attempt.error is not None, attempt.at is not None
        return Bar(attempt.kind, left, round(right - left, 3), round(wait, 3), ended or failed, failed)


def _start(attempt: Attempt) -> datetime:
    start = attempt.began or attempt.at
    assert start is not None, "an attempt has begun or ended"
    return start


def _took(attempts: Sequence[Attempt]) -> timedelta | None:
    ended = [one.at - one.began for one in attempts if one.at is not None and one.began is not None]
    return sum(ended, NO_TIME) if ended else None
