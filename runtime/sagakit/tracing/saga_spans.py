"""The spans that have ended between two records of one saga that follow each other. Pure: the records say it all.

An attempt begins with the record that intends it, and ends with the one that knows its end. The saga's own span ends
once nothing of it can go on any more: at its end, or, for a child, when its parent has released it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from sagakit.definition.plan import ITEM
from sagakit.engine import ENDS, Record, StepLog
from sagakit.engine.keys import CallKind, key_of
from sagakit.engine.table import OUT, UNDER_WAY, StepState
from sagakit.tracing.span_ids import SpanRef, attempt_ref, root_ref
from sagakit.tracing.trace_parent import TraceParent, parent_in

AttemptEnd: TypeAlias = Literal["done", "rejected", "not done", "unknown", "failed", "terminated"]
"""How an attempt ended: `failed` is a compensation's, `terminated` one that the end of the saga cut off."""
FINE: frozenset[AttemptEnd] = frozenset({"done"})

_KINDS: Mapping[StepState, CallKind] = {
    "running": "do",
    "sent": "do",
    "checking": "check",
    "check_sent": "check",
    "undoing": "undo",
    "undo_sent": "undo",
}
_UNDOES: frozenset[StepState] = frozenset({"undoing", "undo_sent", "undone"})
"""States after an action that the same turn has begun to undo."""


class SagaSpan(msgspec.Struct, frozen=True, kw_only=True):
    """A span that has ended. `start` and `end` are in seconds since the epoch.

    `parent` is a span of the same trace. `links` are earlier spans of the same trace. `error` is empty if all went
    well. `remote` is true if another service has done the work.
    """

    name: str
    ref: SpanRef
    parent: TraceParent | SpanRef | None
    start: float
    end: float
    attributes: dict[str, str | int]
    links: tuple[SpanRef, ...] = ()
    error: str = ""
    remote: bool = False


def spans_between(before: Record | None, record: Record) -> list[SagaSpan]:
    """Return the spans that have ended with `record`. `before` is the record that it has replaced, None for the first.

    Attempts come first, in the order of the step log, and the saga itself last.
    """
    found: list[SagaSpan] = []
    if before is not None and before.status not in ENDS:
        for step, log in before.steps.items():
            if log.state in UNDER_WAY and (after := _ended(log, step, record)) is not None:
                found.append(_attempt(before, step, log, record, after))
    if _is_over(record) and not (before is not None and _is_over(before)):
        found.append(_root(record))
    return found


def _ended(log: StepLog, step: str, record: Record) -> StepLog | None:
    """Return the step's entry after its attempt has ended; None if the attempt goes on."""
    after = record.steps.get(step)
    if after is None:  # no step is ever forgotten; a record that was changed by hand may lack one
        return None
    moved = after.state != log.state or after.calls != log.calls
    return after if moved or record.status in ENDS else None


def _is_over(record: Record) -> bool:
    """Return True if the saga has ended for good. A child that is completed may still be undone with its parent."""
    return record.status in ENDS and (record.parent is None or record.released)


def _attempt(before: Record, step: str, log: StepLog, record: Record, after: StepLog) -> SagaSpan:
    kind = _KINDS[log.state]
    end = attempt_end(kind, log, after)
    number = {"do": log.attempt, "check": log.check_attempt, "undo": log.undo_attempt}[kind]
    each, _, item = step.partition(ITEM)
    attributes: dict[str, str | int] = {
        **_about(before),
        "sagakit.step": each,
        "sagakit.kind": kind,
        "sagakit.attempt": number,
        "sagakit.call": log.calls,
        "sagakit.key": key_of(before, step, kind, log),
        "sagakit.epoch": before.epoch,
        "sagakit.worker": before.owner,
        "sagakit.outcome": end,
    }
    if item:
        attributes["sagakit.item"] = int(item)
    return SagaSpan(
        name=step if kind == "do" else f"{kind} {step}",
        ref=attempt_ref(before, step, log.calls),
        parent=root_ref(before),
        start=before.updated_at if log.began is None else log.began,
        end=record.updated_at,
        attributes=attributes,
        # not a child of it: the earlier attempt has ended, perhaps in another worker
        links=(attempt_ref(before, step, log.calls - 1),) if log.calls > 1 else (),
        error="" if end in FINE else after.error or end,
        remote=log.state in OUT,
    )


def attempt_end(kind: CallKind, log: StepLog, after: StepLog) -> AttemptEnd:
    """Return how an attempt ended, from the entries of its step before and after."""
    if after.state == log.state and after.calls == log.calls:
        return "terminated"
    if kind == "undo":
        return "done" if after.state == "undone" else "failed"
    if kind == "check":  # "it did not happen" is an answer, too
        return "unknown" if after.unsure else "done"
    if after.state in ("done", "awaiting") or (after.state in _UNDOES and not after.unsure):
        return "done"
    if after.code is not None:
        return "rejected"
    return "unknown" if after.unsure else "not done"


def _root(record: Record) -> SagaSpan:
    outcome, failure = record.outcome, record.failure
    attributes: dict[str, str | int] = {
        **_about(record),
        "sagakit.version": record.definition_version,
        "sagakit.epoch": record.epoch,
        "sagakit.worker": record.owner,
        "sagakit.outcome": record.status,
    }
    error = ""
    if failure is not None and record.status == "failed":
        told = {"cause": failure.cause, "code": failure.code, "failed_step": failure.step}
        attributes |= {f"sagakit.{name}": value for name, value in told.items() if value}
        error = failure.reason or failure.code or failure.cause
    return SagaSpan(
        name=record.saga_type,
        ref=root_ref(record),
        parent=parent_in(record.trace),
        start=record.created_at,
        end=record.updated_at if outcome is None else outcome.at,
        attributes=attributes,
        error=error,
    )


def _about(record: Record) -> dict[str, str | int]:
    return {"sagakit.saga.type": record.saga_type, "sagakit.saga.id": record.saga_id, "sagakit.run": record.run}
