"""`create` and `apply`: record x input events -> record. They are pure: nothing is changed in place.

One `apply` works in the order of P12: results and inbound messages first, in the order given, then timers; then it
starts every node that may start. `now` never runs backwards: a time before the record's last update counts as that
update's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec import structs

from sagakit.definition.plan import CALLED, Plan
from sagakit.engine.backward import proceed, undo_ended
from sagakit.engine.beginning import begin, begin_items
from sagakit.engine.codec import digest
from sagakit.engine.definition_answers import complete, decided, output_made, prepared
from sagakit.engine.delay import begin_in_time, started
from sagakit.engine.events import count_up_to, with_logged
from sagakit.engine.family import AFTER_THE_END
from sagakit.engine.forward import action_ended, check_ended, wait_is_over
from sagakit.engine.inbound import inbound
from sagakit.engine.inputs import (
    Adopted,
    AttemptEnded,
    CommandSent,
    Decided,
    GaveUp,
    Inbound,
    InputEvent,
    Isolated,
    Orphaned,
    OutputMade,
    Prepared,
    Published,
    Unanswered,
)
from sagakit.engine.readiness import ready, undecided, unprepared
from sagakit.engine.record import NOTHING, PLAIN_SCHEMA, Failure, Parent, PersistedSagaState, Record
from sagakit.engine.remote import sent, unanswered
from sagakit.engine.results import Error
from sagakit.engine.table import ENDS, HELD, MOVING, OPEN, StepMove, StepState
from sagakit.engine.turn import SUSPECT, Limits, Turn, at_work, is_suspect
from sagakit.engine.undo_requests import deadline, honour_undo_request, may_turn_back, pivot_open, pivot_passed
from sagakit.errors import IllegalTransition

_DEFAULT_LIMITS = Limits()
_ON_ENDED = {"running": action_ended, "checking": check_ended, "undoing": undo_ended}
_ON_DUE: dict[StepState, StepMove] = {"waiting": "start", "check_waiting": "check", "undo_waiting": "undo"}


def create(
    plan: Plan,
    *,
    saga_id: str,
    run: str,
    input: msgspec.Raw,
    input_digest: str = "",
    owner: str,
    now: float,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    trace: dict[str, str] | None = None,
    attributes: dict[str, str] | None = None,
    parent: Parent | None = None,
    start_id: str = "",
    starts_at: float | None = None,
    signal: Inbound | None = None,
    limits: Limits = _DEFAULT_LIMITS,
    hold: bool = False,
) -> Record:
    """Return the first record of a saga, with its first attempts already opened (P1); with `hold` none is opened.

    With `starts_at`, seconds since the epoch, the saga waits until then. `signal` is a message that is applied first.
    `run` must be new for each life of the id, `now` is in seconds since the epoch. `input_digest` is that of the value
    of which `input` is a claim. The record has version 0: `stamped`
    gives the one to write.
    """
    record: Record = PersistedSagaState(
        schema=PLAIN_SCHEMA,
        saga_type=plan.saga_type,
        saga_id=saga_id,
        run=run,
        definition_version=plan.version,
        plan_digest=plan.digest,
        status="running",
        input=input,
        input_digest=input_digest or digest(input),
        created_at=now,
        updated_at=now,
        steps={},
        version=0,
        write="",
        owner=owner,
        epoch=1,
        recoveries=0,
        next_event=1,
        correlation_id=correlation_id,
        causation_id=causation_id,
        trace=trace,
        attributes=attributes or {},
        parent=parent,
        start_id=start_id,
        starts_at=starts_at,
    )
    turn = Turn(plan, record, now=now, limits=limits, hold=hold)
    started(turn)
    if signal is not None:
        inbound(turn, signal)
    _settle(turn)
    return turn.record


def stamped(record: Record, *, write: str) -> Record:
    """Return the record as it is to be written: with the next version, and with a write id.

    The caller uses a write id for one sequence of bytes only: after an ambiguous write, equal bytes at the leader then
    prove that this very write happened.
    """
    return structs.replace(record, version=record.version + 1, write=write)


def apply(
    plan: Plan,
    record: Record,
    events: Sequence[InputEvent],
    now: float,
    *,
    limits: Limits = _DEFAULT_LIMITS,
    hold: bool = False,
) -> Record:
    """Return the record after `events` and after every timer that is due at `now` (seconds since the epoch).

    It is `record` itself if nothing changed that needs a write. With `hold`, results are taken and no attempt is
    opened, because the owner is about to let the saga go. Raises IllegalTransition; `record` is unchanged then, as
    always.
    """
    turn = Turn(plan, record, now=now, limits=limits, hold=hold)
    for event in events:
        _apply_one(turn, event)
    # Timers come after all events: a result that is applied together with a deadline still counts (P12).
    if turn.record.halted:
        _note_wake(turn)
    elif turn.record.status not in ENDS:
        _timers(turn)
        _settle(turn)
    if turn.record.alone and not at_work(plan, turn.record):
        turn.touch()
        turn.record.alone = False
    if plan.has_items:
        turn.trim_items()
    return turn.record if turn.changed else record


def awaits_isolation(plan: Plan, record: Record, now: float) -> bool:
    """Return True if the saga is suspect and would go on now if it ran alone.

    It is found out by trying: whatever else holds a saga back is in the rules already, and is not repeated here.
    """
    if not is_suspect(record) or record.halted or record.status in ENDS:
        return False
    trial = apply(plan, record, [Isolated()], now)
    return (trial.status, trial.steps) != (record.status, record.steps)


def _apply_one(turn: Turn, event: InputEvent) -> None:
    match event:
        case Published():
            # Without `touch`: a shorter outbox alone is not worth a write. It goes with the next one; a new owner that
            # comes before it publishes the events again, with the same ids and bytes.
            record = turn.record
            out = count_up_to(record.outbox, event.seq)
            record.logged = with_logged(record.logged, record.outbox[:out], event)
            record.outbox = record.outbox[out:]
        case AttemptEnded():
            if turn.record.status not in ENDS:  # else the saga ended while this was under way: its account is closed
                _ended(turn, event)
        case Unanswered():
            if turn.record.status not in ENDS:
                unanswered(turn, event)
        case CommandSent():
            if turn.record.status not in ENDS:
                sent(turn, event)
        case Adopted():
            _adopted(turn, event)
        case Orphaned():
            if not turn.record.released:
                turn.touch()
                turn.record.released = True
        case Inbound() if event.kind in AFTER_THE_END:
            inbound(turn, event)
        case _ if turn.record.status in ENDS:
            pass  # the same holds for all that follow
        case Isolated():
            turn.touch()
            turn.record.alone = turn.record.recoveries >= SUSPECT
        case GaveUp():
            turn.halt(f"no worker can run it: {event.error}")
        case Inbound():
            inbound(turn, event)
        case Decided():
            decided(turn, event)
        case Prepared():
            prepared(turn, event)
        case OutputMade():
            output_made(turn, event)
        case _:
            assert_never(event)


def _ended(turn: Turn, event: AttemptEnded) -> None:
    log = turn.look(event.step)
    # `calls` grows with every attempt of the node, so the number tells this attempt from one that was closed before it.
    if log.state not in OPEN or log.calls != event.call:
        raise IllegalTransition(f"step {event.step}: attempt {event.call} is not open; {log.state}, {log.calls} calls")
    _ON_ENDED[log.state](turn, turn.plan.node(event.step), event)


def _adopted(turn: Turn, event: Adopted) -> None:
    """Give the record to a new owner. Open attempts become unknown in the same write, and the policies decide."""
    turn.touch()
    record = turn.record
    record.epoch += 1
    record.owner = event.worker
    if record.status in ENDS:
        return
    open_steps = [name for name, log in record.steps.items() if log.state in OPEN]
    suspected = at_work(turn.plan, record)
    if suspected:
        record.recoveries += 1
        record.lone_deaths += record.alone  # only a death that no other saga can have caused
    record.alone = False  # the new owner has not made it alone yet
    turn.emit("recovered", epoch=record.epoch, worker=event.worker, open=open_steps)
    lost = Error(error="the worker was lost during this attempt", at_once=True)
    went_forward = turn.forward  # closing an attempt may turn the saga back, when its budget is used up
    for step in open_steps:
        _ended(turn, AttemptEnded(step, turn.look(step).calls, lost, event.jitter))
    if suspected and record.lone_deaths >= turn.limits.lone_deaths:
        _found_out(turn, suspected[0], went_forward=went_forward)


def _found_out(turn: Turn, step: str, *, went_forward: bool) -> None:
    """Give up a saga that takes its workers down: undo it, or make it stuck where there is no way back.

    The counters begin anew, so that its compensations have a full budget of deaths.
    """
    reason = f"its worker died {turn.record.lone_deaths} times while it ran alone"
    turn.progress()
    if went_forward and not turn.forward:
        return  # the step's own budget ran out with this death, and the saga turns back already
    if turn.forward and not pivot_passed(turn) and not pivot_open(turn):
        turn.fail(Failure("exhausted", step=step, reason=reason))
    else:
        turn.halt(reason)


def _timers(turn: Turn) -> None:
    if turn.record.deadline_at is not None and turn.record.deadline_at <= turn.now and not turn.all_passed:
        deadline(turn)  # not if all nodes are passed: the results came first, and the saga has met its deadline (P12)
    if turn.record.undo_request is not None:
        honour_undo_request(turn)
    if turn.record.starts_at is not None:
        begin_in_time(turn)
    due = [name for name, log in turn.record.steps.items() if log.due is not None and log.due <= turn.now]
    if not due or turn.hold:
        return
    for name in due if turn.forward else ():
        if turn.look(name).state == "awaiting":
            wait_is_over(turn, turn.plan.node(name))
    # A pending question may turn the saga back; an action that starts before the answer would go forward after it (P2).
    goes_on = turn.forward and not _asks(turn)
    for name in due:
        state = turn.look(name).state  # read again: the loop above may have moved it
        if state in _ON_DUE and (goes_on or state != "waiting"):
            turn.open(turn.plan.node(name), _ON_DUE[state])


def _settle(turn: Turn) -> None:
    """Start every node that may start, end the saga if it is over, or make it stuck if nothing moves any more."""
    status = turn.record.status
    if status == "delayed" or (status == "stuck" and not _in_motion(turn)):
        _note_wake(turn)
        return
    if turn.forward:
        _start_ready(turn)
        if not turn.plan.has_output and turn.all_passed:
            complete(turn, NOTHING)
    else:
        proceed(turn)
    # A saga that is held back looks as if nothing moved, and is not stuck: attempts start once it is released.
    if turn.record.status in ("running", "compensating") and not (_in_motion(turn) or turn.hold or turn.full):
        held: dict[str, StepState] = {}
        for node in turn.nodes:
            state = turn.look(node.name).state
            if state in HELD:
                held[node.name] = state
        if held:
            reason = "; ".join(f"{name}: {state}, {turn.look(name).error}" for name, state in held.items())
            turn.block(reason, held)
    _note_wake(turn)


def _start_ready(turn: Turn) -> None:
    if turn.hold:
        return
    # While a request to undo waits for the pivot, only the pivot and what leads to it can be ready: in a record that
    # was rebuilt, where no attempt of the pivot is known and one may have been made. Going forward finds out.
    # Nodes that are not called may be done at once (a timer that is due, an each without items) and make others ready,
    # and those may have questions. So they go first, round by round; calls are opened only when no question is left,
    # since a question that raises turns the saga back, and no action may have been started beside it (P2).
    while waiting := ready(turn.plan, turn.record):
        if _asks(turn):
            return
        at_once = [node for node in waiting if node.kind not in CALLED]
        for node in at_once or waiting:
            begin(turn, node)
        if not at_once:
            break
    if turn.plan.has_items:
        begin_items(turn)


def _asks(turn: Turn) -> bool:
    """Return True if the definition has to be asked before anything more is started."""
    if not turn.plan.asks:
        return False
    waiting = ready(turn.plan, turn.record)
    return any(undecided(node, turn.record) or unprepared(node, turn.record) for node in waiting)


def _in_motion(turn: Turn) -> bool:
    for name, log in turn.record.steps.items():
        if log.state in MOVING and not (log.state == "awaiting" and _may_never_come(turn, name)):
            return True
    return False


def _may_never_come(turn: Turn, name: str) -> bool:
    """Return True for a signal without a timeout: a saga that is held elsewhere must not look as if it went on."""
    return turn.plan.node(name).kind == "signal" and turn.look(name).due is None


def _note_wake(turn: Turn) -> None:
    """Write the earliest due time into the record, so that its owner, or the next one, wakes it then."""
    record = turn.record
    due = [log.due for log in record.steps.values() if log.due is not None]
    if record.deadline_at is not None and may_turn_back(turn) and not turn.all_passed:
        due.append(record.deadline_at)
    if record.starts_at is not None and record.status == "delayed":
        due.append(record.starts_at)
    wake_at = None if not due or record.status in ENDS or record.halted else min(due)
    if wake_at != record.wake_at:
        turn.touch()
        record.wake_at = wake_at
