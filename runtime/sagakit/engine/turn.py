"""The workbench of one `apply`: a draft of the record that moves only along the transition tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import structs

from sagakit.definition.plan import ITEM, NodePlan, Plan, Retries
from sagakit.definition.raised import shorten as shorten
from sagakit.engine.carried import outbox_kept
from sagakit.engine.details import fitting_detail
from sagakit.engine.events import make_event
from sagakit.engine.item_ranges import in_ranges
from sagakit.engine.record import NOTHING, Failure, Record, StepLog
from sagakit.engine.table import (
    ENDS,
    OPEN,
    PASSED,
    SAGA_TABLE,
    STEP_TABLE,
    UNDER_WAY,
    SagaMove,
    StepMove,
    StepState,
    advance,
)

ITEM_TEXT = 100
"""Characters that are kept of an item's error and code, and bytes of its detail: there may be many items."""

ITEM_SIZE = 300
"""Bytes that are set aside for the entry of an item, without its result."""

KEEPS: frozenset[StepState] = frozenset({"asked", "blocked"})
"""States in which the start of the last attempt is kept: no event has told yet how long it took."""

SUSPECT = 2
"""The number of takeovers with an open attempt, without progress in between, from which on a saga runs alone."""

_SENDS: Mapping[StepMove, StepMove] = {"start": "send", "check": "send_check", "undo": "send_undo"}
"""The moves that open the attempts of a remote node."""

_PENDING = StepLog()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds that keep status, undo and outbox below `max_payload`, whatever the steps return."""

    results: int = 512 * 1024
    """Bytes of results, payloads and start values of nodes, together."""
    detail: int = 4 * 1024
    """Bytes of the detail of one refusal."""
    items: int = 1_000
    """Items of one each."""
    outbox: int = 128
    """Unconfirmed events and open attempts, together: each attempt will need room for an event when it ends."""
    inbound: int = 64
    """Verdicts that one ring keeps in words."""
    verdicts: int = 16 * 1024
    """Bytes of the verdicts that one ring keeps in words."""
    ids: int = 2_000
    """Messages from callers that are applied in the life of a saga."""
    lone_deaths: int = 3
    """Deaths of its worker while a saga ran alone, after which the saga is given up."""

    @property
    def reserve(self) -> int:
        """Places beyond `ids` that one of the four reserves has: see `verdicts.PLACES`."""
        return max(self.ids // 20, 8)


class Turn:
    """An application of input events to a record. `record` is a draft; the original stays as it is.

    The draft shares the original's parts until they change: `edit` and `touch` copy what is about to change.
    """

    __slots__ = ("_began", "_hold", "_open", "_touched", "changed", "limits", "now", "plan", "record")

    def __init__(self, plan: Plan, record: Record, *, now: float, limits: Limits, hold: bool = False) -> None:
        self.plan: Plan = plan
        self.record: Record = structs.replace(record)
        self.now: float = max(now, record.updated_at)  # the clock of a new owner may be behind: time never runs back
        self.limits: Limits = limits
        self._hold = hold
        self.changed: bool = False
        self._touched: set[str] = set()
        self._open: int | None = None
        self._began: dict[str, float] = {}
        """The starts of the attempts that this turn has closed and that no event has told of yet, by step."""

    # ------------------------------------------------------------ reading

    def look(self, step: str) -> StepLog:
        """Return the step's entry, for reading only."""
        return self.record.steps.get(step, _PENDING)

    @property
    def nodes(self) -> Sequence[NodePlan]:
        """The nodes of the plan, and the items under way."""
        return present(self.plan, self.record)

    def items(self, each: NodePlan) -> list[NodePlan]:
        """Return the items of an each that have begun."""
        return [node for node in self.nodes if node.of == each.name]

    @property
    def hold(self) -> bool:
        """True if no attempt may be opened: the owner lets go, or the saga is halted, or suspect and not alone."""
        return self._hold or self.record.halted or is_suspect(self.record)

    @property
    def full(self) -> bool:
        """True if no attempt may be opened until events are confirmed or an open attempt ends."""
        if len(self.record.outbox) + len(self.record.steps) < self.limits.outbox:
            return False  # a cheap bound that holds for most sagas: a step has at most one open attempt
        if self._open is None:
            self._open = count_open(self.record)
        return len(self.record.outbox) + self._open >= self.limits.outbox

    @property
    def forward(self) -> bool:
        """True while the saga has not turned back."""
        return self.record.failure is None

    @property
    def all_passed(self) -> bool:
        """True if every node of the plan is done or skipped."""
        return all_passed(self.plan, self.record)

    def room(self) -> int:
        """Return the bytes that the record has left for results and payloads."""
        left = self.limits.results
        for log in self.record.steps.values():
            if log.items:
                left -= log.items * ITEM_SIZE
            if log.result is not NOTHING:
                left -= len(memoryview(log.result))
            if log.given is not NOTHING:
                left -= len(memoryview(log.given))
            if log.progress is not NOTHING:
                left -= len(memoryview(log.progress))
        return max(left, 0)

    # ------------------------------------------------------------ changing

    def edit(self, step: str) -> StepLog:
        """Return the step's entry for changing: a copy that belongs to this draft."""
        if not self.changed:
            self.touch()
        steps = self.record.steps
        log = steps.get(step)
        if log is None or step not in self._touched:
            self._touched.add(step)
            steps[step] = log = StepLog() if log is None else structs.replace(log)
        return log

    def touch(self) -> None:
        """Note that the draft differs from the original, so that it has to be written."""
        if not self.changed:
            self.changed = True
            self.record.steps = dict(self.record.steps)
            self.record.updated_at = self.now

    def move(self, step: str, move: StepMove) -> StepLog:
        """Move a step along its table, and return its entry for changing. Raises IllegalTransition."""
        log = self.edit(step)
        before = log.state
        log.state = state = advance(STEP_TABLE, before, move, of="step", name=step)
        log.due, log.alive, log.progress, log.progress_at = None, False, NOTHING, None
        if self._open is not None:
            self._open += (state in UNDER_WAY) - (before in UNDER_WAY)
        if log.began is not None:
            if before in UNDER_WAY:
                self._began[step] = log.began
            if state not in KEEPS:
                log.began = None
        return log

    def progress(self) -> None:
        """Clear the suspicion: a call came to its end here, so this saga did not cause earlier deaths of workers."""
        self.record.recoveries = self.record.lone_deaths = 0
        self.record.alone = False

    def move_saga(self, move: SagaMove) -> None:
        """Move the saga along its table. Raises IllegalTransition."""
        status = advance(SAGA_TABLE, self.record.status, move, of="saga", name=repr(self.record.saga_id))
        self.touch()
        self.record.status = status
        if status != "stuck":
            self.record.stuck = None
            self.record.halted = False

    def resume(self) -> None:
        """Let a stuck saga go on where it was: forward, backward, or waiting for its start."""
        onward: SagaMove = "resume" if self.record.starts_at is None else "resume_delayed"
        self.move_saga(onward if self.forward else "resume_undo")

    def emit_of(self, node: NodePlan, suffix: str = "", carries: str = "", /, **data: object) -> None:
        """Put one event about a node into the outbox; the event of an item has its number.

        `carries` is the field of the node's value that the event carries. A key group other than the first is told, and
        the name in the keys of a node that was renamed.
        """
        if node.of:
            item = node.name.rpartition(ITEM)[2]
            data = {"item": int(item), **data}
            carries = carries and f"{carries}{ITEM}{item}"
        log = self.look(node.name)
        group = log.undo_group if suffix.startswith(".und") else log.group
        if group > 1:
            data["group"] = group
        if log.named:
            data["named"] = log.named.partition(ITEM)[0]
        self.emit(f"step.{node.step}{suffix}", carries, step=node.step, **data, **self._took(node.name))

    def _took(self, step: str | None) -> dict[str, float]:
        """Return `took`, the seconds of the attempt that this turn has closed, for the first event that tells of it."""
        began = None if step is None else self._began.pop(step, None)
        return {} if began is None else {"took": round(self.now - began, 3)}

    def emit_retry(self, node: NodePlan, suffix: str, attempt: int, *, unknown: bool, delay: float) -> None:
        """Put an event about a failed attempt into the outbox: the next one is due `delay` seconds from now."""
        error = self.look(node.name).error
        self.emit_of(node, f".{suffix}", attempt=attempt, error=error, unknown=unknown, delay=round(delay, 3))

    def emit(self, suffix: str, carries: str = "", /, **data: object) -> None:
        """Put one event into the outbox, with the next number of the run (P9). See `carried` for what it `carries`."""
        self.touch()
        event = make_event(self.record, suffix, data, now=self.now, carries=carries)
        self.record.outbox = [*self.record.outbox, event]  # a new list: the original record shares the old one
        self.record.next_event += 1

    def replace(self, **fields: object) -> None:
        """Replace fields of the record. An event that carries a value that is lost is given it: its bytes stay (P9)."""
        before = structs.replace(self.record)
        for name, value in fields.items():
            setattr(self.record, name, value)
        self.record.outbox = outbox_kept(before, self.record)

    def trim_items(self) -> None:
        """Cut the errors, codes and details of the items that this turn has changed, so that all items fit."""
        for step in self._touched:
            if step in self.plan.by_name:
                continue
            log = self.record.steps[step]
            log.error = None if log.error is None else shorten(log.error, ITEM_TEXT)
            log.code = None if log.code is None else shorten(log.code, ITEM_TEXT)
            log.detail = fitting_detail(log.detail, ITEM_TEXT)

    # ------------------------------------------------------------ attempts

    def open(self, node: NodePlan, move: StepMove) -> None:
        """Open an attempt: `start` the action, `check` or `undo`. The call itself is made once this is durable (P1).

        The attempt of a remote node is sent: it is out until its reply comes, or its time is over.

        The step stays as it is while the outbox is full, unless the new attempt takes the place of an open one.
        """
        if self.full and self.look(node.name).state not in UNDER_WAY:
            return
        remote = node.endpoints is not None
        log = self.move(node.name, _SENDS[move] if remote else move)
        if remote:
            log.due = self.now + timeout_of(node, log)
            log.since = self.now if log.since is None else log.since
        log.calls += 1
        log.began = self.now
        if move == "start":
            log.attempt += 1
            log.order = log.order or 1 + max([other.order for other in self.record.steps.values()])
        elif move == "check":
            log.check_attempt += 1
        else:
            log.undo_attempt += 1

    def defer(self, node: NodePlan, move: StepMove, *, delay: float) -> None:
        """Close the attempt; the next one is due `delay` seconds from now."""
        self.move(node.name, move).due = self.now + delay

    def fail(self, failure: Failure, *, move: SagaMove = "compensate") -> None:
        """Turn back, once: only the first reason counts. A halted saga does so when an operator lets it go on."""
        if self.record.failure is None:
            if not self.record.halted:
                self.move_saga(move)
            self.record.failure = failure
            data = {"cause": failure.cause, "code": failure.code, "step": failure.step, "reason": failure.reason}
            in_doubt = failure.step is not None and self.look(failure.step).state == "doubtful"
            more = {**_given(unknown=in_doubt, halted=self.record.halted), **self._took(failure.step)}
            self.emit("compensating", "" if failure.detail is NOTHING else "detail", **data, **more)

    def block(self, reason: str, held: Mapping[str, StepState] | None = None) -> None:
        """Make the saga stuck, at its steps `held`. Open attempts go on; new ones start once an operator has helped."""
        self.move_saga("block")
        self.record.stuck = shorten(reason)
        self.emit("stuck", reason=self.record.stuck, **_given(held=in_ranges(held or {})))

    def unblock(self) -> None:
        """Let a saga go on that was stuck at a step which is settled now, unless it is halted."""
        if self.record.status == "stuck" and not self.record.halted:
            self.resume()

    def halt(self, reason: str) -> None:
        """Stop the saga as it is, once: nothing moves until an operator says `retry`. Only the first reason counts."""
        if self.record.halted:
            return
        if self.record.status != "stuck":
            self.block(reason)
        self.touch()
        self.record.stuck, self.record.halted = shorten(reason), True


def timeout_of(node: NodePlan, log: StepLog) -> float:
    """Return the seconds that the attempt which is out may take."""
    return node.undo.timeout if log.state == "undo_sent" and node.undo is not None else node.timeout


def _given(**data: object) -> dict[str, object]:
    """Return the data that there is: an event leaves out the rest."""
    return {name: value for name, value in data.items() if value}


def makes_room(record: Record, limits: Limits) -> int | None:
    """Return the number of the event in the middle of a full outbox; None if the outbox is not full.

    Attempts are held back until that event is in the log. Then half of the outbox is out, and the owner applies again.
    Waiting for half of it, and not for one event, opens attempts in batches.
    """
    outbox = record.outbox
    if len(outbox) + len(record.steps) < limits.outbox:
        return None  # a cheap bound that holds for most sagas: a step has at most one open attempt
    if not outbox or record.status in ENDS or len(outbox) + count_open(record) < limits.outbox:
        return None
    return outbox[len(outbox) // 2].seq


def count_open(record: Record) -> int:
    """Return the number of attempts that are open or out: the end of each needs room for an event."""
    return sum(log.state in UNDER_WAY for log in record.steps.values())


def at_work(plan: Plan, record: Record) -> list[str]:
    """Return the steps with an open attempt, without those that only wait for the child that they undo.

    Only these can have taken a worker down.
    """
    opened = [(name, log.state) for name, log in record.steps.items() if log.state in OPEN]
    return [name for name, state in opened if state != "undoing" or not plan.node(name).child_type]


def is_suspect(record: Record) -> bool:
    """Return True if the saga may have taken its workers down, and must wait until it runs alone.

    See docs/architecture.md, "Suspects".
    """
    return record.recoveries >= SUSPECT and not record.alone


def present(plan: Plan, record: Record) -> Sequence[NodePlan]:
    """Return the nodes of the plan, and the items that have begun."""
    if not plan.has_items:
        return plan.nodes
    return [*plan.nodes, *(plan.node(name) for name in record.steps if name not in plan.by_name)]


def all_passed(plan: Plan, record: Record) -> bool:
    """Return True if every node of the plan is done or skipped."""
    return len(record.steps) >= len(plan.nodes) and passed(record.steps, plan.by_name)


def passed(steps: Mapping[str, StepLog], names: Iterable[str]) -> bool:
    """Return True if each of these nodes is done or skipped."""
    for name in names:  # not `all(...)`: the generator costs more than the look-up, and this is asked at each turn
        log = steps.get(name)
        if log is None or log.state not in PASSED:
            return False
    return True


def backoff(retries: Retries, attempt: int, jitter: float) -> float:
    """Return the seconds to wait after attempt number `attempt`, counted from 1: exponential, bounded, equal jitter.

    `jitter` is a random number from 0 to 1, drawn by the owner: the wait is between half of the interval and all of it.
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    # The power overflows a float from about attempt 1,000 on, where the bound has long been reached.
    try:
        wait = min(retries.max_interval, retries.initial_interval * float(retries.multiplier) ** (attempt - 1))
    except OverflowError:
        wait = retries.max_interval
    return wait * (0.5 + 0.5 * jitter)


def spent(retries: Retries, attempt: int) -> bool:
    """Return True if attempt number `attempt`, counted from 1, was the last one of its budget."""
    return retries.max_attempts is not None and attempt >= retries.max_attempts
