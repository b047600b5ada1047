"""Rules for calls: P1, a stored record intended each call; P2, order, and nothing forward after turning back.

The server stamps a record before it acknowledges it. The worker notes by the monotonic clock when it makes a call, and
the services write that down by their own wall clock, which the servers share. So a call that began before its record's
stamp certainly came too early. The workers' wall clocks are never asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.chaos.history import History, Record, Row, Version
from tests.chaos.plans import PLANS, ancestors, descendants, node_of
from tests.chaos.rules import Violation

OPEN = {"do": "running", "check": "checking", "undo": "undoing"}
DONE = ("effect", "duplicate", "happened")


def intended(history: History) -> Iterator[Violation]:
    """P1: a record of this owner and epoch, stored before the call, has this attempt open under this key."""
    for key, rows in history.by_saga.items():
        versions = history.by_key.get(key, [])
        for row in rows:
            if any(_intends(version, row) for version in versions) or _unknown(history, versions, row):
                continue
            yield Violation("P1", key, f"{_name(row)} was called before, or without, a stored record that intends it")


def _intends(version: Version, row: Row) -> bool:
    record, call = version.record, row.call
    if record is None or (record.epoch, record.owner, record.run) != (call.epoch, call.worker, call.run):
        return False
    return version.at <= call.begin and _opens(record, row)


def _opens(record: Record, row: Row) -> bool:
    log = record.steps.get(row.call.step)
    if log is None or log.state != OPEN[row.call.kind]:
        return False
    group = log.undo_group if row.call.kind == "undo" else log.group
    saga = f"{record.saga_type}/{record.saga_id}/{record.run}"
    return row.call.key == f"{saga}/{row.call.step}/{row.call.kind}/{group}"


def _unknown(history: History, versions: Sequence[Version], row: Row) -> bool:
    """Return True if the trail may miss a version of that epoch, stored before the call."""
    for before, after in gaps(history, versions):
        first = before is None or (before.record is not None and before.record.epoch <= row.call.epoch)
        last = after is None or after.record is None or after.record.epoch >= row.call.epoch
        if first and last and (before is None or before.at <= row.call.begin):
            return True
    return False


def gaps(history: History, versions: Sequence[Version]) -> Iterator[tuple[Version | None, Version | None]]:
    """Yield the places in a chain where at least one version is missing; None stands for its ends."""
    before: Version | None = None
    for after in versions:
        number = 0 if before is None or before.record is None else before.record.version
        known = after.record is not None and after.record.version <= number + 1
        if not known and history.missing(before.seq if before else 0, after.seq):
            yield before, after
        before = after
    if (before is None or before.record is not None) and history.missing(before.seq if before else 0, 2**62):
        yield before, None


def called_once(history: History) -> Iterator[Violation]:
    """P1: no attempt is called more often than it was intended, by one owner in one epoch."""
    for key, rows in history.by_saga.items():
        versions = history.by_key.get(key, [])
        if any(True for _ in gaps(history, versions)):
            continue
        calls = Counter((row.call.key, row.call.kind, row.call.epoch) for row in rows)
        for (call_key, kind, epoch), count in calls.items():
            row = next(row for row in rows if (row.call.key, row.call.kind, row.call.epoch) == (call_key, kind, epoch))
            meant = {
                version.record.steps[row.call.step].calls
                for version in versions
                if version.record is not None and version.record.epoch == epoch and _opens(version.record, row)
            }
            if count > len(meant) and meant:
                yield Violation("P1", key, f"{_name(row)}: {count} calls, {len(meant)} intended")


def order(history: History) -> Iterator[Violation]:
    """P2, by the services' own clock."""
    for key, rows in history.by_saga.items():
        if rows[0].call.saga_type in PLANS:
            yield from (Violation("P2", key, text) for text in _order(rows))


def _order(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if row.call.kind == "do":
            yield from _after_all_before(row, rows)
            yield from _not_after_turning(row, rows)
        elif row.call.kind == "undo":
            yield from _after_all_behind(row, rows)
            yield from _not_beside_its_action(row, rows)


def _after_all_before(row: Row, rows: Sequence[Row]) -> Iterator[str]:
    saga_type = row.call.saga_type
    for before in set(ancestors(saga_type, node_of(row.call.step))):
        if not PLANS[saga_type][before].called or PLANS[saga_type][before].remote:
            continue
        steps = {other.call.step for other in rows if node_of(other.call.step) == before} or {before}
        for step in steps:
            ended = [other.end for other in rows if other.call.step == step and other.result in DONE]
            if not ended or min(ended) > row.call.begin:
                yield f"{_name(row)} was called before {step} was done"


def _not_after_turning(row: Row, rows: Iterable[Row]) -> Iterator[str]:
    """Find a forward call after compensation.

    A fenced owner in a lower epoch cannot know of it, so its calls are allowed.
    """
    turned = [other for other in rows if other.call.kind == "undo" and other.call.epoch <= row.call.epoch]
    if turned and min(other.call.begin for other in turned) < row.call.begin:
        yield f"{_name(row)} was called after compensation had begun"


def _after_all_behind(row: Row, rows: Sequence[Row]) -> Iterator[str]:
    for behind in descendants(row.call.saga_type, node_of(row.call.step)):
        for other in rows:
            done = node_of(other.call.step) == behind and other.call.kind == "do" and other.result == "effect"
            if not done or other.effect > row.call.begin:
                continue
            undone = [one.end for one in rows if one.call.kind == "undo" and one.call.action_key == other.call.key]
            if not undone or min(undone) > row.call.begin:
                yield f"{_name(row)} was called before {other.call.step} was undone"


def _not_beside_its_action(row: Row, rows: Iterable[Row]) -> Iterator[str]:
    for other in rows:
        same = (other.call.step, other.call.worker, other.call.kind) == (row.call.step, row.call.worker, "do")
        if same and other.call.begin < row.call.begin < other.effect:
            yield f"{_name(row)} was called while its action still ran on {row.call.worker}"


def _name(row: Row) -> str:
    call = row.call
    return f"{call.kind} of {call.step} (attempt {call.attempt}, epoch {call.epoch}, by {call.worker}, key {call.key})"
