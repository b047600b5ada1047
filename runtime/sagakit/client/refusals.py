"""Refusals: the errors that say why a saga did not accept a message, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sagakit.engine import ENDS, InboundKind, Record
from sagakit.engine.table import StepState
from sagakit.errors import CallerError, InvalidInput, NotAllowed, TooLate, UnknownSaga

if TYPE_CHECKING:  # a command for many sagas imports this module, and no more than it needs
    from sagakit.client.access import SagaAccess

_WHAT: Mapping[InboundKind, str] = {
    "signal": "the signal {step} is not taken",
    "report": "the report of {step} is not taken",
    "retry": "it cannot be retried",
    "mark-undone": "{step} cannot be marked undone",
    "complete-step": "{step} cannot be completed by hand",
    "compensate": "it cannot be compensated",
    "terminate": "it cannot be terminated",
}

_ALWAYS: Mapping[str, str] = {
    "ended": "the saga is over",
    "unknown": "the saga has no such step that this applies to, or has not reached it",
    "too large": "the record has no room for it: keep large data elsewhere and pass a reference",
    "full": "the saga has had so many messages that it takes no more of this kind; it can be cancelled and terminated",
    "other run": "the saga that it was for has gone, and another one has its id",
}
"""Explanations of the verdicts that need no look at the message and the step."""

STATES: Mapping[StepState, str] = {
    "pending": "has not begun",
    "running": "is being called now",
    "sent": "waits for the reply to its command",
    "waiting": "waits for its next attempt",
    "awaiting": "waits for a signal, a time or a child",
    "spread": "has items under way",
    "checking": "is being checked now",
    "check_sent": "waits for the reply to its check",
    "check_waiting": "waits for the next attempt of its check",
    "asked": "is held until a person says whether it happened",
    "blocked": "is held in its action",
    "done": "is done",
    "skipped": "was skipped",
    "not_done": "is known not to have happened",
    "doubtful": "is given up in doubt",
    "undoing": "is being undone now",
    "undo_sent": "waits for the reply to its compensation",
    "undo_waiting": "waits for the next attempt of its compensation",
    "undo_failed": "is held in its compensation",
    "undone": "is undone",
}
"""The state of a step in words."""

_LATER = "wait until that has ended"
_FORWARD = "`complete_step` gives it a result, `retry` tries it again, `compensate` undoes what came before it"
_FROM_WAITING = "`complete_step` gives it a result, `cancel` asks that the saga be undone"
_NOTHING_DONE = "there is nothing to undo"
_TURNED_BACK = "the saga has turned back, and takes no more results"
_BY_HAND = "the saga has turned back: `mark_undone` says that the compensation was done by hand"
_WHOSE_RESULT = "the result of that attempt counts; report it again if the attempt ends in doubt"
_KNOWN = "its last attempt is known not to have happened; `complete_step` gives it a result"
_WRITTEN = "that was written down already"

_ADVICE: Mapping[InboundKind, Mapping[StepState, str]] = {
    "mark-undone": {
        "pending": _NOTHING_DONE,
        "running": _LATER,
        "sent": _LATER,
        "waiting": _FROM_WAITING,
        "awaiting": "`cancel` asks that the saga be undone",
        "spread": "name one of them, such as {step}/2",
        "checking": _LATER,
        "check_sent": _LATER,
        "check_waiting": _FROM_WAITING,
        "asked": _FORWARD,
        "blocked": _FORWARD,
        "done": "its compensation was not called; `cancel` and `compensate` ask that the saga be undone",
        "skipped": _NOTHING_DONE,
        "not_done": _NOTHING_DONE,
        "doubtful": "its compensation was not called yet, or it has none",
        "undoing": _LATER,
        "undo_sent": _LATER,
        "undone": "nothing is left to be done",
    },
    "complete-step": {
        "pending": "it is called once all that it comes after is done",
        "running": _LATER,
        "sent": _LATER,
        "awaiting": "send a signal with `signal`; a timer and a child come to their end by themselves",
        "spread": "name one of them, such as {step}/2",
        "checking": _LATER,
        "check_sent": _LATER,
        "done": "it has its result",
        "skipped": "the saga goes on without it",
        "not_done": _TURNED_BACK,
        "doubtful": _TURNED_BACK,
        "undoing": _TURNED_BACK,
        "undo_sent": _TURNED_BACK,
        "undo_waiting": _BY_HAND,
        "undo_failed": _BY_HAND,
        "undone": _TURNED_BACK,
    },
    "report": {
        "pending": "nobody has asked for it yet",
        "running": _WHOSE_RESULT,
        "sent": _WHOSE_RESULT,
        "waiting": _KNOWN,
        "awaiting": "only a step can be reported; send a signal with `signal`",
        "spread": "name one of them, such as {step}/2",
        "checking": _WHOSE_RESULT,
        "check_sent": _WHOSE_RESULT,
        "check_waiting": _KNOWN,
        "asked": _KNOWN,
        "blocked": _KNOWN,
        "done": "that is so already",
        "skipped": "nobody has asked for it",
        "not_done": _WRITTEN,
        "doubtful": _WRITTEN,
        "undoing": _WRITTEN,
        "undo_sent": _WRITTEN,
        "undo_waiting": _WRITTEN,
        "undo_failed": _WRITTEN,
        "undone": _WRITTEN,
    },
}
"""Advice for each verb that names a step, by the state of the step in which the verb is refused."""

_HAPPENED = "`complete_step` says that it happened after all; then it is undone"
_TURNING_BACK: Mapping[StepState, str] = {
    "waiting": _HAPPENED,
    "check_waiting": _HAPPENED,
    "asked": _HAPPENED,
    "blocked": _HAPPENED,
    "done": "its compensation was not called yet, or it has none",
}
"""Advice instead of `mark_undone` once the saga has turned back."""


_TAKEN = ("accepted", "waiting", "deleted")


def is_taken(kind: str, verdict: str) -> bool:
    """Return True if a message or a deletion with this verdict has its effect, now or later."""
    return verdict in _TAKEN or (kind, verdict) == ("cancel", "already")


async def check_taken(runtime: SagaAccess, key: str, kind: InboundKind, step: str, verdict: str) -> None:
    """Raise the error that says why a message has no effect, if its verdict says that it has none."""
    if not is_taken(kind, verdict):
        raise await refused(runtime, key, kind, step, verdict)


async def refused(runtime: SagaAccess, key: str, kind: InboundKind, step: str, verdict: str) -> CallerError:
    """Return the error that says why a message was not accepted. Reads the saga's record if it is needed for that."""
    try:
        record = None if verdict in _ALWAYS or verdict.startswith("refused") else await runtime.record(key)
    except UnknownSaga:  # it has ended since the verdict
        record = None
    return refusal(key, kind, step, verdict, record)


def refusal(key: str, kind: InboundKind, step: str, verdict: str, record: Record | None) -> CallerError:
    """Return the error for a verdict on a message, given the record as it is now."""
    if verdict.startswith("refused"):  # the record keeps the explanation for a while, then only the word
        return InvalidInput(f"{key}: {verdict.removeprefix('refused: ')}")
    if kind == "cancel" and verdict in ("too late", "ended"):
        why = "it is over" if verdict == "ended" else "it is past the pivot, and only goes forward"
        return TooLate(f"{key}: too late to cancel: {why}")
    what = _WHAT.get(kind, "it cannot be cancelled").format(step=step)
    always = "its definition has no such signal" if (kind, verdict) == ("signal", "unknown") else _ALWAYS.get(verdict)
    return NotAllowed(f"{key}: {what}: {always or _why(kind, step, verdict, record)}")


def _why(kind: InboundKind, step: str, verdict: str, record: Record | None) -> str:
    if record is None or (record.status in ENDS and kind != "signal"):
        return _ALWAYS["ended"]
    if record.halted and kind == "complete-step":
        return f"the whole saga is held ({record.stuck}); `retry` lets it go on as it was"
    if kind in _ADVICE:
        return _of_step(kind, step, record)
    match kind, verdict:
        case "retry", _ if record.status == "stuck":
            return "a child that has ended holds it: `complete_step` gives that step a result, `compensate` undoes it"
        case "retry", _ if record.status == "delayed":
            return "it has not begun: it waits for the time of its start"
        case "retry", _:
            return f"it is {record.status}, not stuck: what has failed is tried again by itself"
        case "signal", "already":
            return f"{step} has come already, and is taken once"
        case "signal", _ if record.failure is not None:
            return "it is too late: the saga has turned back"
        case "signal", _:
            return f"it is too late: {step} {STATES[_state(step, record)]}"
        case "compensate", "already":
            return f"it has turned back already, and is {record.status}; `retry` and `mark_undone` help if it is stuck"
        case "compensate", _:
            return (
                "it is past the pivot, and only goes forward; once it is stuck, `compensate` undoes what can be undone"
            )
    return verdict


def _state(step: str, record: Record) -> StepState:
    log = record.steps.get(step)
    return "pending" if log is None else log.state


def _of_step(kind: InboundKind, step: str, record: Record) -> str:
    state, advice = _state(step, record), _ADVICE[kind]
    if kind == "mark-undone" and record.failure is not None:
        advice = {**advice, **_TURNING_BACK}
    fits = advice.get(state, "it was not so a moment ago, so ask again").format(step=step)
    return f"{step} {STATES[state]}: {fits}"
