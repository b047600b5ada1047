"""The tally: what has happened to a worker's sagas since it was opened, in counts and histograms.

It is for the metrics (docs/metrics.md), and must cost little: the actors count at the few places that all sagas pass
anyway, in plain dictionaries, and whoever reads the metrics does the rest. Durable facts are counted when their write
is durable: an event is counted once in the whole fleet, unless its worker dies just then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Literal, NamedTuple, TypeAlias

from sagakit.definition.plan import ITEM
from sagakit.engine import ENDS, Record
from sagakit.engine.keys import CallKind

ATTEMPT_BOUNDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets for attempts, in seconds: from a fast query to a slow partner."""
WRITE_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
"""Upper bounds of the buckets for writes, in seconds: from a server on this machine to an outage."""


class HistogramReading(NamedTuple):
    """A histogram as it was read. `buckets` has each upper bound with the number of values up to it, infinity last."""

    buckets: tuple[tuple[float, int], ...]
    sum: float


class Histogram:
    """Counts values in fixed buckets. For tasks of one thread; `read` for any thread."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def read(self) -> HistogramReading:
        """Return the buckets, each with the numbers of those below it added, as Prometheus has them."""
        counts, found, total = self._counts.copy(), list[tuple[float, int]](), 0
        for bound, count in zip((*self._bounds, inf), counts, strict=True):
            total += count
            found.append((bound, total))
        return HistogramReading(tuple(found), self._sum)


BuriedFrom: TypeAlias = Literal["inbox", "intake"]
"""The stream that the message of a dead letter came from: the inbox, or one of commands for sagas."""


SweepResult: TypeAlias = Literal["done", "failed"]
"""The result of a sweep of the large values."""


class Tally:
    """The counts of one worker. They only grow. For tasks of the trio thread; reading copies is for any thread."""

    def __init__(self) -> None:
        self.events: defaultdict[str, defaultdict[str, int]] = defaultdict(partial(defaultdict, int))
        """Number of events that are durable, by saga type and then by suffix, such as `step.charge.retrying`."""
        self.ends: dict[tuple[str, str, str], int] = {}
        """Number of sagas that have ended, by type, status and cause; the cause is empty for a completed one."""
        self.attempts: dict[tuple[str, str, CallKind], Histogram] = {}
        """Seconds of the attempts that have ended here, by type, step and kind. An each counts as one step."""
        self.writes: Histogram = Histogram(WRITE_BOUNDS)
        """Seconds from handing a record in until it is durable."""
        self.dead_letters: dict[tuple[str, BuriedFrom], int] = {}
        """Number of dead letters written, by type and source; a type that this worker does not know is ""."""
        self.dead_commands: Mapping[str, int] = {}
        """Number of dead letters of participants that are kept, by service, as they were last looked for."""

        self.values_removed: int = 0
        """Number of large values that were removed."""
        self.value_sweeps: dict[SweepResult, int] = {"done": 0, "failed": 0}
        """Number of sweeps of the large values, by result."""

    def written(self, before: Record | None, record: Record) -> None:
        """Count what a durable record has that the one before it had not; `before` is None for a first record."""
        more = record.next_event - (1 if before is None else before.next_event)
        if more:
            events = self.events[record.saga_type]
            for event in record.outbox[-more:]:
                events[event.suffix] += 1
        if record.status in ENDS and (before is None or before.status not in ENDS):
            self._ended(record)

    def _ended(self, record: Record) -> None:
        failure = record.failure
        end = (record.saga_type, record.status, "" if failure is None else failure.cause)
        self.ends[end] = self.ends.get(end, 0) + 1

    def attempted(self, saga_type: str, step: str, kind: CallKind, seconds: float) -> None:
        """Count an attempt that has ended."""
        histogram = self.attempts.get((saga_type, step, kind))
        (histogram or self._histogram(saga_type, step, kind)).add(seconds)

    def _histogram(self, saga_type: str, step: str, kind: CallKind) -> Histogram:
        """Return the histogram of a step, which the items of an each share."""
        key = (saga_type, step.partition(ITEM)[0], kind)
        if key not in self.attempts:
            self.attempts[key] = Histogram(ATTEMPT_BOUNDS)
        return self.attempts[key]

    def buried(self, saga_type: str, source: BuriedFrom) -> None:
        """Count a dead letter that this worker has written."""
        key = (saga_type, source)
        self.dead_letters[key] = self.dead_letters.get(key, 0) + 1

    def swept(self, removed: int) -> None:
        """Count a sweep of the large values that has come to its end."""
        self.value_sweeps["done"] += 1
        self.values_removed += removed

    def sweep_failed(self) -> None:
        """Count a sweep of the large values that was given up."""
        self.value_sweeps["failed"] += 1

    def saw_dead_commands(self, found: Mapping[str, int]) -> None:
        """Take the numbers of dead letters of participants, by service."""
        self.dead_commands = found
