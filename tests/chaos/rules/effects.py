"""Rules for effects: P4 and the sum of everything, each effect once by key, or undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.chaos.history import History, Record, Row
from tests.chaos.plans import PLANS, node_of
from tests.chaos.remote_evidence import Work
from tests.chaos.rules import Violation


def once_by_key(history: History) -> Iterator[Violation]:
    """The services keep their contract: a key has at most one effect. Otherwise no other rule means anything."""
    effects = Counter(row.call.key for row in history.rows if row.result == "effect")
    for key, count in effects.items():
        if count > 1:
            yield Violation("contract", key, f"{count} effects under one key")


def remaining(history: History) -> Iterator[Violation]:
    """P4: a failed saga leaves no effect; a completed one leaves each step's once; no saga leaves a step's twice."""
    parcels = {f"{one.saga_type}.{one.saga_id}": int(one.input["parcels"]) for one in history.starts}
    for key in history.by_saga.keys() | history.work_of.keys():
        effects = _remaining(history.by_saga.get(key, []), history.work_of.get(key, []))
        for step, count in effects.items():
            if count > 1:
                yield Violation("once", key, f"{step} took effect {count} times, and was not undone")
        record = history.last(key)
        if record is None or record.saga_type not in PLANS:
            continue
        if record.status == "failed":
            yield from _failed(key, record, effects)
        elif record.status == "completed":
            yield from _completed(key, record, effects, parcels.get(key))


def _remaining(rows: Sequence[Row], works: Sequence[Work]) -> Counter[str]:
    """Return how many effects of each step remain: done, and not undone."""
    undone = {row.call.action_key for row in rows if row.call.kind == "undo" and row.result == "effect"}
    undone |= {work.key for work in works if work.kind == "undo"}
    done = {row.call.key: row.call.step for row in rows if row.call.kind == "do" and row.result == "effect"}
    done |= {work.key: work.step for work in works if work.kind == "do"}
    return Counter(step for key, step in done.items() if key not in undone)


def _failed(key: str, record: Record, effects: Counter[str]) -> Iterator[Violation]:
    cause = record.failure.cause if record.failure else "unknown"
    for step in effects:
        plan = PLANS[record.saga_type][node_of(step)]
        what = "was never undone" if plan.undo else "cannot be undone"
        yield Violation("P4" if plan.undo else "P5", key, f"it failed ({cause}), and {step} {what}")


def _completed(key: str, record: Record, effects: Counter[str], parcels: int | None) -> Iterator[Violation]:
    for name, step in PLANS[record.saga_type].items():
        found = [entry for entry in effects if node_of(entry) == name]
        wanted = parcels if step.each else int(parcels is None or parcels >= step.least)
        if step.called and wanted is not None and len(found) != wanted:
            yield Violation("once", key, f"it is completed, and {name} has {len(found)} effects, not {wanted}")
