"""Figures that can be counted in a history. This module imports nothing of sagakit."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import msgspec

from tests.chaos.history import Fault, History
from tests.chaos.rules.remote import OUT, outlives_its_worker

SECOND = 10**9
AFTERMATH = 30 * SECOND
"""Nanoseconds after the end of a fault within which its victim may still be adopted."""
REACTION = SECOND // 4
"""Nanoseconds by which a fault may begin before the last sign of life."""
NETWORK = ("cut", "half-open", "latency", "pause-worker")
FREE = ("clock",)
"""Faults that stop nobody: later events are put down to the other faults."""


class Pause(msgspec.Struct, frozen=True):
    """Seconds without progress around the faults of one kind."""

    times: int
    median: float
    worst: float


class Figures(msgspec.Struct, kw_only=True):
    """Counts, and seconds by the kind of fault.

    `silent`: the longest time without any effect or stored version. `adopted_first`, `adopted_last`: from the fault to
    the first and the last adoption of the victim's sagas, if any followed. `back`: from the healing to the next version
    that the victim stores.
    """

    sagas: int
    ended: dict[str, int]
    causes: dict[str, int]
    calls: dict[str, int]
    versions: int
    versions_missing: int
    events: int
    events_twice: int
    adoptions: int
    fenced_calls: int
    remote: dict[str, int]
    twice_started: int
    faults: dict[str, int]
    silent: dict[str, Pause]
    adopted_first: dict[str, Pause]
    adopted_last: dict[str, Pause]
    back: dict[str, Pause]


def of(history: History) -> Figures:
    """Count everything in a history."""
    records = [history.last(key) for key in {**history.state, **history.archive}]
    known = [record for record in records if record is not None]
    started = Counter(f"{one.saga_type}.{one.saga_id}" for one in history.acked if one.kind == "start")
    ids = Counter(event.message_id for event in history.events)
    last = history.versions[-1].seq if history.versions else 0
    changes = _changes(history)
    return Figures(
        sagas=len(started),
        ended=dict(Counter(record.status for record in known)),
        causes=dict(Counter(record.failure.cause for record in known if record.failure)),
        calls=dict(Counter(f"{row.call.kind} {row.result}" for row in history.rows)),
        versions=len(history.versions),
        versions_missing=history.missing(0, last),
        events=len(ids),
        events_twice=len(history.events) - len(ids),
        adoptions=len(changes),
        fenced_calls=_fenced_calls(history),
        remote=_remote(history),
        twice_started=sum(count > 1 for count in started.values()),
        faults=dict(Counter(fault.kind for fault in history.faults)),
        silent=_pauses(_silences(history)),
        adopted_first=_pauses(_adopted(history, changes, first=True)),
        adopted_last=_pauses(_adopted(history, changes, first=False)),
        back=_pauses(_back(history)),
    )


class Change(NamedTuple):
    """A change of a saga's owner."""

    at: int
    before: str
    after: str


def _changes(history: History) -> list[Change]:
    found: list[Change] = []
    for versions in history.by_key.values():
        for one, two in pairwise(versions):
            if one.record is not None and two.record is not None and one.record.owner != two.record.owner:
                found.append(Change(two.at, one.record.owner, two.record.owner))
    return sorted(found)


def _fenced_calls(history: History) -> int:
    """Return the number of calls that a worker began after another one had taken the saga over."""
    count = 0
    for key, rows in history.by_saga.items():
        records = [(version.at, version.record) for version in history.by_key.get(key, [])]
        for row in rows:
            count += any(
                record is not None and record.epoch > row.call.epoch and at < row.call.begin for at, record in records
            )
    return count


def _remote(history: History) -> dict[str, int]:
    """Count what participants did, what they told, and what became of remote attempts when a saga changed hands."""
    found = Counter(f"{work.kind} worked" for work in history.work)
    found["replies"] = len(history.told)
    found["replies that came again"] = len(history.told) - len(set(history.told))
    taken_over = [
        log.state
        for versions in history.by_key.values()
        for one, two in pairwise(versions)
        if one.record is not None and two.record is not None and one.record.epoch < two.record.epoch
        for log in one.record.steps.values()
        if log.state in OUT.values()
    ]
    found["attempts out at a takeover"] = len(taken_over)
    found["of these in doubt from a worker's death"] = len(list(outlives_its_worker(history)))
    last = [history.last(key) for key in history.archive]
    found["late successes"] = sum(log.late for one in last if one is not None for log in one.steps.values())
    found["spans"] = len(history.spans)
    found["spans exported again"] = len(history.spans) - len({span.id for span in history.spans})
    return dict(found)


def _costly(history: History) -> list[Fault]:
    """Return the faults that may stop somebody, in order."""
    return sorted((fault for fault in history.faults if fault.kind not in FREE), key=lambda fault: fault.begin)


def _silences(history: History) -> list[tuple[str, float]]:
    """Return each fault's longest silence. A silence is put down to the fault that began last before it.

    As long as sagas are started there is something to do. After that, silence means nothing.
    """
    loaded = max((one.at for one in history.versions if one.record is not None and one.record.version == 1), default=0)
    faults = _costly(history)
    begins = [fault.begin - REACTION for fault in faults]
    longest = [0.0] * len(faults)
    for one, two in pairwise(_marks(history)):
        number = bisect_right(begins, one) - 1
        if number >= 0 and one < loaded:
            longest[number] = max(longest[number], (two - one) / SECOND)
    return [(fault.kind, seconds) for fault, seconds in zip(faults, longest, strict=True)]


def _marks(history: History) -> list[int]:
    """Return the times of progress, in order."""
    return sorted([row.effect for row in history.rows] + [version.at for version in history.versions])


def _adopted(history: History, changes: list[Change], *, first: bool) -> list[tuple[str, float]]:
    """Return the times of each fault of a worker that lost sagas.

    An adoption is put down to the victim's last fault before it.
    """
    faults = _costly(history)
    times: defaultdict[int, list[int]] = defaultdict(list)
    for change in changes:
        before = [
            number for number, fault in enumerate(faults) if fault.target == change.before and fault.begin < change.at
        ]
        if before and change.at < faults[before[-1]].end + AFTERMATH:
            times[before[-1]].append(change.at - faults[before[-1]].begin)
    return [(faults[number].kind, (min if first else max)(found) / SECOND) for number, found in times.items()]


def _back(history: History) -> Iterator[tuple[str, float]]:
    times: defaultdict[str, list[int]] = defaultdict(list)
    for version in history.versions:
        if version.record is not None:
            times[version.record.owner].append(version.at)
    for fault in history.faults:
        later = [at for at in times[fault.target] if at > fault.end] if fault.kind in NETWORK else []
        if later:
            yield fault.kind, (min(later) - fault.end) / SECOND


def _pauses(found: Iterable[tuple[str, float]]) -> dict[str, Pause]:
    by_kind: defaultdict[str, list[float]] = defaultdict(list)
    for kind, seconds in found:
        by_kind[kind].append(seconds)
    return {
        kind: Pause(len(times), round(median(times), 2), round(max(times), 2))
        for kind, times in sorted(by_kind.items())
    }
