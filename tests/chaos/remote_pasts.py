"""Handwritten histories of sagas whose steps participants do, and ways to spoil them."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from tests.chaos.history import Failure, History, StepLog
from tests.chaos.pasts import TICK, Past


def dispatched() -> History:
    """Return a history: take, of which the first attempt gets no reply, insure, weigh, send.

    Another worker takes it over while take is out.
    """
    past = Past("Dispatch", "4", parcels=2)
    past.put("started", take="sent")
    past.span("take", 1)
    past.put("step.take.retrying", take="waiting")
    past.put(take="sent")
    past.adopted("w2-b")
    past.put("recovered")
    past.worked("do", "take")
    past.told("take")
    past.span("take", 2)
    past.put("step.take", take="done", insure="sent")
    past.worked("do", "insure")
    past.told("insure")
    past.put("step.insure", insure="done", weigh="running")
    past.call("do", "weigh")
    past.put("step.weigh", weigh="done", send="sent")
    past.worked("do", "send")
    past.told("send")
    past.put("step.send", "completed", send="done", status="completed")
    past.span()
    return past.over()


def canceled() -> History:
    """Return a history: a cancel while insure is out; its success is told late; insure and take are undone."""
    past = Past("Dispatch", "5", parcels=2)
    past.put("started", take="sent")
    past.worked("do", "take")
    past.told("take")
    past.put("step.take", take="done", insure="sent")
    past.worked("do", "insure")
    why = Failure("cancelled")
    past.put("compensating", status="compensating", failure=why, insure="undo_sent")
    past.worked("undo", "insure")
    past.told("insure")
    past.put("step.insure.undone", status="compensating", failure=why, insure="undone", take="undo_sent")
    past.worked("undo", "take")
    past.put("step.take.undone", "failed", status="failed", failure=why, take="undone")
    history = past.over()
    _last(history, "insure", late=True, unsure=True)
    return history


def _last(history: History, step: str, **changes: Any) -> None:
    """Change a step of the archived record."""
    [(key, version)] = history.archive.items()
    assert version.record is not None
    steps = version.record.steps | {step: structs.replace(version.record.steps[step], **changes)}
    history.archive[key] = structs.replace(version, record=structs.replace(version.record, steps=steps))


def _at_takeover(history: History, step: str, log: StepLog, **changes: Any) -> None:
    """Change a step in the record by which the second owner takes the saga over."""
    for number, version in enumerate(history.versions):
        record = version.record
        if record is not None and record.epoch == 2:
            changed = structs.replace(record, steps=record.steps | {step: log}, **changes)
            history.versions[number] = structs.replace(version, record=changed)
            return


def worked_twice(history: History) -> None:
    history.work.append(history.work[0])


def undone_twice(history: History) -> None:
    history.work.append(next(work for work in history.work if work.kind == "undo"))


def worked_without_a_record(history: History) -> None:
    history.work[0] = structs.replace(history.work[0], at=history.versions[0].at - TICK)


def worked_under_another_key(history: History) -> None:
    history.work[0] = structs.replace(history.work[0], key=history.work[0].key.replace("/do/1", "/do/2"))


def the_undo_did_nothing(history: History) -> None:
    history.work = [work for work in history.work if (work.kind, work.step) != ("undo", "take")]


def it_completed_without_work(history: History) -> None:
    history.work = [work for work in history.work if work.step != "insure"]


def a_death_ended_the_attempt(history: History) -> None:
    _at_takeover(history, "take", StepLog("waiting", calls=2, unsure=True))


def a_death_put_it_in_doubt(history: History) -> None:
    _at_takeover(history, "take", StepLog("sent", calls=2, unsure=True))


def a_death_was_counted(history: History) -> None:
    _at_takeover(history, "take", StepLog("sent", calls=2), recoveries=1)


def a_late_success_was_dropped(history: History) -> None:
    _last(history, "insure", late=False)


def a_span_has_two_contents(history: History) -> None:
    history.spans.append(structs.replace(history.spans[0], start=history.spans[0].start + TICK))


def an_attempt_has_two_spans(history: History) -> None:
    history.spans.append(structs.replace(history.spans[0], id="another"))


def a_worker_has_span_ids_of_its_own(history: History) -> None:
    history.spans[0] = structs.replace(history.spans[0], id="its own")


def a_worker_has_a_saga_span_of_its_own(history: History) -> None:
    history.spans[-1] = structs.replace(history.spans[-1], id="its own")


def a_span_begins_at_another_time(history: History) -> None:
    history.spans[0] = structs.replace(history.spans[0], start=history.spans[0].start + TICK)


SPOILED = [
    ("P3", dispatched, worked_twice),
    ("P3", canceled, undone_twice),
    ("P1", dispatched, worked_without_a_record),
    ("P1", dispatched, worked_under_another_key),
    ("P4", canceled, the_undo_did_nothing),
    ("once", dispatched, it_completed_without_work),
    ("P3", dispatched, a_death_ended_the_attempt),
    ("P3", dispatched, a_death_put_it_in_doubt),
    ("P3", dispatched, a_death_was_counted),
    ("P3", canceled, a_late_success_was_dropped),
    ("spans", dispatched, a_span_has_two_contents),
    ("spans", dispatched, an_attempt_has_two_spans),
    ("spans", dispatched, a_worker_has_span_ids_of_its_own),
    ("spans", dispatched, a_worker_has_a_saga_span_of_its_own),
    ("spans", dispatched, a_span_begins_at_another_time),
]
