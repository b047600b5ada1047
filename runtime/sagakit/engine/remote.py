"""Attempts that other services make: what a participant's reply leads to, and what it means that none came.

A reply names the key, and by it the node, the kind of work and the key's group; and the attempt, by its number. It is
applied by these rules, so that it may come twice, late, or after another one:

- `done` and `rejected` hold for the key, whichever attempt they answer. All other replies count only as long as the
  attempt that they answer is the last one and is still out.
- A success of a step that was given up is recorded as late; its undo goes on.
- A success under an older key means that the work may have been done twice: the saga halts.

Replies take no place among the verdicts of messages: applied again, each of them changes nothing.

A heartbeat says that the participant lives and works on an attempt. The record keeps only that there was one: from then
on the attempt ends early if the participant falls silent (`effects.MindSilence`). Others change nothing, unless they
say how far the work has come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine.backward import undo_ended
from sagakit.engine.forward import UNREADABLE, action_ended, check_ended, happened, note_refusal
from sagakit.engine.inputs import AttemptEnded, CommandSent, Inbound, Unanswered
from sagakit.engine.keys import CallKind, prefix_of
from sagakit.engine.record import NOTHING, Record, StepLog
from sagakit.engine.results import AttemptResult, Compensating, Complete, Error, NotHappened, RetryLater
from sagakit.engine.table import ENDS, OUT, StepState
from sagakit.engine.turn import Turn, shorten, timeout_of
from sagakit.engine.verdicts import VerdictText

_ENDED: Mapping[StepState, Callable[[Turn, NodePlan, AttemptEnded], None]] = {
    "sent": action_ended,
    "check_sent": check_ended,
    "undo_sent": undo_ended,
}
_KINDS: Mapping[str, CallKind] = {"do": "do", "check": "check", "undo": "undo"}
_OUT_AS: Mapping[CallKind, StepState] = {"do": "sent", "check": "check_sent", "undo": "undo_sent"}
_IN_DOUBT: frozenset[StepState] = frozenset({"sent", "waiting", "check_sent", "check_waiting", "asked", "blocked"})
"""States in which a success of the action settles the step."""
_UNDOABLE: frozenset[StepState] = frozenset({"undo_sent", "undo_waiting", "undo_failed"})
_GIVEN_UP: frozenset[StepState] = _UNDOABLE | frozenset[StepState]({"not_done", "doubtful", "undone"})


LATE = 1.0
"""Seconds. If JetStream has a command later than this after the record that intends it, the command's time begins when
JetStream has it. A shorter delay is not worth a write."""


MAX_PROGRESS = 4 * 1024
"""Bytes of JSON with which a participant may say how far it has come."""
SEALED = 2
"""Factor by which a payload codec may enlarge that JSON."""
PROGRESS_EVERY = 4.0
"""Seconds between two writes of the record for progress. `sagakit.participant` tells it a little more seldom."""


class Answered(NamedTuple):
    """The work that a reply is about."""

    node: NodePlan
    kind: CallKind
    group: int


def answered(plan: Plan, record: Record, key: str) -> Answered | None:
    """Return the work that was asked for under this key; None if this run has asked nobody for it."""
    prefix, _, rest = key.rpartition("/")
    prefix, _, word = prefix.rpartition("/")
    kind = _KINDS.get(word)
    if kind is None or not (rest.isascii() and rest.isdigit()):
        return None
    for name, log in record.steps.items():
        if log.calls and prefix_of(record, name, log) == prefix and (node := plan.node(name)).endpoints is not None:
            return Answered(node, kind, int(rest))
    return None


def settled(plan: Plan, record: Record, message: Inbound) -> VerdictText | None:
    """Return why a reply or heartbeat would change nothing, or cannot be for this run; None if it has to be applied."""
    if message.run != record.run:
        return "other run"
    about = answered(plan, record, message.key)
    if about is None:
        return "unknown"
    if record.status in ENDS:
        return "ended"
    return None if _changes(record, about, message) else "already"


def tells_news(record: Record, message: Inbound) -> bool:
    """Return True if a reply that no run takes any more tells of a success that this record does not know."""
    prefix, _, group = message.key.rpartition("/")
    prefix, _, word = prefix.rpartition("/")
    if message.answer != "done" or word != "do":
        return False
    for name, log in record.steps.items():
        if prefix_of(record, name, log) == prefix:
            known = log.state in ("done", "undone") and not log.unsure and str(log.group) == group
            return not (known or log.late)
    return True


def reply(turn: Turn, message: Inbound) -> VerdictText:
    """Apply a reply that is not settled."""
    about = answered(turn.plan, turn.record, message.key)
    assert about is not None, "it was checked that this run has asked for it"
    if about.kind == "undo":
        return _undo_replied(turn, about.node, message)
    log = turn.look(about.node.name)
    if message.answer == "done" and (about.group < log.group or log.state in _GIVEN_UP):
        return _late(turn, about, message)
    if message.answer == "done":
        return _done(turn, about.node, message)
    if message.answer == "rejected" and about.kind == "do":
        return _rejected(turn, about.node, message)
    return _ended(turn, about.node, _result(message, check=about.kind == "check"))


def heartbeat(turn: Turn, message: Inbound) -> None:
    """Note that the participant has begun: its silence means something from now on. Note how far it has come.

    What it says of that too soon after the last time, or at too great a length, changes nothing, and costs no write.
    """
    about = answered(turn.plan, turn.record, message.key)
    assert about is not None, "it was checked that this run has asked for it"
    node, log = about.node, turn.look(about.node.name)
    if node.heartbeat is not None and not log.alive:
        turn.edit(node.name).alive = True
    soon = log.progress_at is not None and turn.now < log.progress_at + PROGRESS_EVERY
    size = len(memoryview(message.payload))
    if size and not soon and not message.refused and size <= min(SEALED * MAX_PROGRESS, turn.room()):
        log = turn.edit(node.name)
        log.progress, log.progress_at = message.payload, turn.now


def sent(turn: Turn, event: CommandSent) -> None:
    """Begin the time of an attempt with the moment at which JetStream has its command, if that came late."""
    log = turn.look(event.step)
    if log.state in OUT and log.calls == event.call and log.began is not None and turn.now - log.began > LATE:
        node = turn.plan.node(event.step)
        turn.edit(event.step).due = turn.now + timeout_of(node, log)


def unanswered(turn: Turn, event: Unanswered) -> None:
    """End an attempt of which no reply came in time."""
    log = turn.look(event.step)
    if log.state in OUT and log.calls == event.call:
        node = turn.plan.node(event.step)
        endpoint = endpoint_of(node, log)
        missed = f"no reply of {endpoint} in time"
        if event.silent and node.heartbeat is not None:
            missed = f"no sign of life of {endpoint} for {node.heartbeat:g} s"
        error = Error(error=missed)
        _ENDED[log.state](turn, node, AttemptEnded(event.step, event.call, error, event.jitter))


def overdue(record: Record, now: float) -> list[Unanswered]:
    """Return the attempts whose time is over at `now`.

    Their owner looks for each reply before it tells the engine so: a reply that has come counts (P12).
    """
    if record.halted or record.status in ENDS:
        return []
    steps = record.steps.items()
    return [
        Unanswered(name, log.calls)
        for name, log in steps
        if log.state in OUT and log.due is not None and log.due <= now
    ]


def endpoint_of(node: NodePlan, log: StepLog) -> str:
    """Return the endpoint that the attempt which is out was sent to."""
    assert node.endpoints is not None, f"{node.name} is not remote"
    return {"check_sent": node.endpoints.check, "undo_sent": node.endpoints.undo}.get(log.state, node.endpoints.do)


def _changes(record: Record, about: Answered, message: Inbound) -> bool:
    """Return True if a message of a participant would change the record: else it comes too late, or once again."""
    log = record.steps[about.node.name]
    last = log.state == _OUT_AS[about.kind] and log.calls == message.attempt
    if message.kind == "heartbeat":
        begins = about.node.heartbeat is not None and not log.alive
        return last and (begins or message.payload is not NOTHING)
    if about.kind == "undo":
        ends = last or (message.answer in ("done", "gone") and log.state in _UNDOABLE)
        return ends and about.group == log.undo_group
    if message.answer == "done":
        return _success_counts(log, about.group)
    if message.answer == "rejected" and about.kind == "do":
        return about.group == log.group and _refusal_counts(log, about.node)
    return about.group == log.group and last


def _success_counts(log: StepLog, group: int) -> bool:
    """Return True if it is news that an action under the key of a group has happened, however late."""
    if group < log.group:
        return not log.late
    if log.state in _GIVEN_UP:  # without doubt it was done, and is undone: this is the reply that has told so
        return not log.late and (log.unsure or log.state == "not_done")
    return log.state in _IN_DOUBT and log.code != UNREADABLE


def _refusal_counts(log: StepLog, node: NodePlan) -> bool:
    """Return True if it is news that an action is refused under the present key."""
    match log.state:
        case "sent":
            return True
        case "waiting":  # else a person has said `retry`: the next attempt goes out at once, and is refused, too
            return node.on_unknown == "retry"
        case "check_sent":
            return log.code is None
        case "asked":
            return log.calls == 1
        case _:
            return False


def _done(turn: Turn, node: NodePlan, message: Inbound) -> VerdictText:
    """Take a success. One that cannot be read, or for which there is no room, has happened all the same."""
    result = _success(message)
    if message.refused:
        log = turn.edit(node.name)
        log.result, log.code, log.error, log.unsure = result.result, UNREADABLE, shorten(message.refused), True
        if log.state != "blocked":
            turn.move(node.name, "block")
        return "held"
    if turn.look(node.name).state in OUT:  # without room for its result the attempt ends unknown
        return _ended(turn, node, result)
    if len(memoryview(result.result)) > turn.room():
        return "too large"
    happened(turn, node, result)
    return "accepted"


def _rejected(turn: Turn, node: NodePlan, message: Inbound) -> VerdictText:
    """Take a refusal. While a check is out it counts once the check has said that nothing was done."""
    log = turn.edit(node.name)
    if log.state == "check_sent":
        note_refusal(turn, log, _refusal(message))
        return "accepted"
    if log.calls == 1:
        log.unsure = False  # no other attempt was ever sent, so that nothing is in doubt
    elif log.state != "sent" or log.calls != message.attempt:
        log.unsure = True
    action_ended(turn, node, AttemptEnded(node.name, log.calls, _result(message)))
    return "accepted"


def _late(turn: Turn, about: Answered, message: Inbound) -> VerdictText:
    log = turn.edit(about.node.name)
    log.late = True
    # the undo that is out was sent without the result, and has to keep its bytes
    if log.state != "undo_sent" and log.result is NOTHING and len(memoryview(message.payload)) <= turn.room():
        log.result = message.payload
    turn.emit_of(about.node, ".late", state=log.state)
    if about.group < log.group and log.state not in _GIVEN_UP:
        turn.halt(f"{about.node.name}: it was done under an older key, too: its work may have been done twice")
    return "late"


def _undo_replied(turn: Turn, node: NodePlan, message: Inbound) -> VerdictText:
    if turn.look(node.name).state == "undo_sent":
        return _ended(turn, node, Complete() if message.answer == "gone" else _result(message))
    turn.move(node.name, "undone").error = None
    turn.emit_of(node, ".undone")
    turn.unblock()
    return "accepted"


def _ended(turn: Turn, node: NodePlan, result: AttemptResult) -> VerdictText:
    """End the attempt that is out."""
    log = turn.look(node.name)
    if isinstance(result, RetryLater) and result.not_done and log.unsure:
        # the participant has burnt the key: no attempt under it can happen any more
        turn.edit(node.name).unsure = False
    _ENDED[log.state](turn, node, AttemptEnded(node.name, log.calls, result))
    return "accepted"


def _success(message: Inbound) -> Complete:
    return Complete() if message.payload is NOTHING else Complete(message.payload)


def _refusal(message: Inbound) -> Compensating:
    return Compensating(code=message.code or "rejected", detail=message.payload)


def _result(message: Inbound, *, check: bool = False) -> AttemptResult:
    reason = message.reason or message.code or message.answer
    match message.answer:
        case "done":
            return _success(message)
        case "rejected" if not check:
            return _refusal(message)
        case "not_done" | "gone" | "rejected":
            return NotHappened() if check else RetryLater(reason=reason, after=message.after, not_done=True)
        case "retry":
            return RetryLater(reason=reason, after=message.after)
        case "unknown" | "":
            return Error(error=reason)
