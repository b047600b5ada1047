"""Rules for what participants do: a key is worked once, no death of a worker costs an attempt, no success is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from tests.chaos.history import History, Record, StepLog
from tests.chaos.remote_evidence import Told, Work, saga_of
from tests.chaos.rules import Violation
from tests.chaos.rules.calls import gaps

OUT = {"do": "sent", "check": "check_sent", "undo": "undo_sent"}
LOCAL = ("running", "checking", "undoing")


def worked_once(history: History) -> Iterator[Violation]:
    """P3: a key is worked at most once, and undone at most once."""
    for (key, kind), count in Counter((work.key, work.kind) for work in history.work).items():
        if count > 1:
            yield Violation("P3", saga_of(key), f"{kind} of {key} was worked {count} times")


def intended(history: History) -> Iterator[Violation]:
    """P1: a record that was stored before has asked for each piece of work."""
    for work in history.work:
        versions = history.by_key.get(work.saga, [])
        if any(True for _ in gaps(history, versions)):
            continue
        records = [one.record for one in versions if one.record is not None and one.at <= work.at]
        if not any(_asks(record, work) for record in records):
            yield Violation(
                "P1", work.saga, f"{work.kind} of {work.key} was worked before a stored record asked for it"
            )


def _asks(record: Record, work: Work) -> bool:
    log = record.steps.get(work.step, StepLog())
    head = f"{record.saga_type}/{record.saga_id}/{record.run}/{work.step}/do/"
    return log.state == OUT[work.kind] and work.key == f"{head}{log.group}"


def outlives_its_worker(history: History) -> Iterator[Violation]:
    """P3: who takes a saga over leaves its remote attempts as they are, and suspects it of nothing for them."""
    for key, versions in history.by_key.items():
        for one, two in pairwise(versions):
            before, after = one.record, two.record
            if before is None or after is None or after.version != before.version + 1:
                continue
            if after.epoch == before.epoch or after.status != before.status:
                continue  # a local attempt that the death has ended may turn the saga back in the same write
            yield from (Violation("P3", key, f"{text} (sequence {two.seq})") for text in _harmed(before, after))


def _harmed(before: Record, after: Record) -> Iterator[str]:
    for name, log in before.steps.items():
        now = after.steps.get(name, StepLog())
        if log.state in OUT.values() and (now.state, now.calls, now.unsure) != (log.state, log.calls, log.unsure):
            yield f"the death of {before.owner} ended attempt {log.calls} of {name}: {log.state} became {now.state}"
    local = any(log.state in LOCAL for log in before.steps.values())
    if not local and after.recoveries > before.recoveries:
        yield f"the death of {before.owner} is counted, and only remote attempts were under way"


def late_successes(history: History) -> Iterator[Violation]:
    """P3: a success that the inbox has stored is in the record, as done or as late, or is a dead letter."""
    kept = {(told.key, told.run) for told in history.dead}
    for told in {one.key: one for one in history.told if one.answer == "done" and "/do/" in one.key}.values():
        record = history.last(saga_of(told.key))
        if record is None or (told.key, told.run) in kept:
            continue
        if not _known(history, record, told):
            state = record.steps.get(_step(told.key), StepLog()).state
            yield Violation("P3", saga_of(told.key), f"a success under {told.key} was told; its step is {state}")


def _step(key: str) -> str:
    return key.split("/")[3]


def _known(history: History, record: Record, told: Told) -> bool:
    step = _step(told.key)
    log = record.steps.get(step, StepLog())
    versions = history.by_key.get(saga_of(told.key), [])
    seen = (one.record.steps.get(step, StepLog()).state for one in versions if one.record is not None)
    # a success that is told while the step waits may be undone in the write that takes it: then it is without doubt
    return log.late or log.state == "done" or "done" in seen or (log.state == "undone" and not log.unsure)
