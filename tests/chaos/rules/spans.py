"""Rules for traces: no two spans of one id differ, and an attempt's span says what the records say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.chaos.history import History
from tests.chaos.remote_evidence import Span
from tests.chaos.rules import Violation

CLOSE = 1_000
"""Nanoseconds by which a time may differ that was a float of seconds."""


def alike(history: History) -> Iterator[Violation]:
    """Two spans of one id are the same, and two spans of one attempt, or of one saga, have one id."""
    by_id: dict[str, Span] = {}
    by_attempt: dict[tuple[Any, ...], Span] = {}
    for span in history.spans:
        same = (by_id.setdefault(span.id, span), by_attempt.setdefault(_attempt(span), span))
        if (other := next((known for known in same if known != span), None)) is not None:
            yield Violation("spans", _saga(span), f"two spans of {span.name} differ: {other}, {span}")


def joined(history: History) -> Iterator[Violation]:
    """The parent of an attempt's span is its saga's, and its link is the attempt before, whoever has exported those."""
    by_attempt = {_attempt(span): span for span in history.spans}
    for attempt, span in by_attempt.items():
        run, step, call = attempt
        root, before = by_attempt.get((run, "", 0)), by_attempt.get((run, step, call - 1))
        if call and root is not None and (span.parent, span.trace) != (root.id, root.trace):
            yield Violation("spans", _saga(span), f"{span.name}: its parent {span.parent} is not {root.id}, the saga's")
        if call > 1 and before is not None and span.links != [before.id]:
            yield Violation("spans", _saga(span), f"{span.name}: it is linked to {span.links}, and not to {before.id}")


def as_recorded(history: History) -> Iterator[Violation]:
    """An attempt's span begins with the attempt, by the record."""
    for span in history.spans:
        run, step, call = _attempt(span)
        for version in history.by_key.get(_saga(span), []):
            record = version.record
            if record is None or record.run != run or step not in record.steps:
                continue
            log = record.steps[step]
            under_way = log.calls == call and log.state in UNDER_WAY
            if under_way and log.began is not None and abs(log.began * 1e9 - span.start) > CLOSE:
                yield Violation("spans", _saga(span), f"{span.name}, call {call}: began {log.began}, span {span.start}")
                break


UNDER_WAY = ("running", "checking", "undoing", "sent", "check_sent", "undo_sent")


def _attempt(span: Span) -> tuple[str, str, int]:
    about = span.attributes
    step, item = about.get("sagakit.step", ""), about.get("sagakit.item")
    return about["sagakit.run"], step if item is None else f"{step}/{item}", about.get("sagakit.call", 0)


def _saga(span: Span) -> str:
    return f"{span.attributes['sagakit.saga.type']}.{span.attributes['sagakit.saga.id']}"
