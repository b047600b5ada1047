"""The judge of the random schedules: it keeps its own books of one saga, and condemns a broken promise."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine import (
    ENDS,
    SUSPECT,
    Call,
    Failure,
    Limits,
    Parent,
    Record,
)
from sagakit.engine.record import StepLog
from sagakit.engine.turn import count_open, present
from sagakit.testing.judge import unsettled_after

from tests.engine.participants import Participants, step_of
from tests.engine.retold import differences, retold

FINE = Failure("cancelled")
LIMITS = Limits()


class Broken(AssertionError):
    """A promise was broken; the text begins with its number."""


class Judge:
    """The books of one saga, filled by `Worker` and `World`, and the judgments over them (P1 to P6, P8, P9, P11).

    A judgment uses the calls that were made and the effects of the participants. It takes the states of steps from the
    record, and nothing from the engine's rules.
    """

    record: Record

    def __init__(self, plan: Plan, limits: Limits) -> None:
        self.plan = plan
        self.limits = limits
        self.now = 1000.0
        self.participants = Participants()
        self.parent: Parent | None = None
        self.budget: Counter[str] = Counter()  # calls of each action since an operator's last retry
        self.running: dict[tuple[str, int], Call] = {}
        self.asked: set[tuple[str, int]] = set()  # calls that an effect has asked for
        self.opened: set[tuple[str, int]] = set()
        self.published: list[Any] = []
        self.compensating = False
        self.asked_to_undo = False
        self.forced = False  # an operator has said `compensate`, even after the pivot
        self.sent: set[str] = set()  # signals that were accepted
        self.timers: dict[str, float] = {}  # the due time of each timer
        self.told = False  # the parent was told of the end
        self.strange: set[str] = set()  # children with an unreadable output that no operator has replaced yet
        self.lone_crashes = 0
        self.starts_at: float | None = None  # the time before which the saga may not begin
        self.began: float | None = None

    def _judge_order(self, call: Call) -> None:
        node = self.plan.node(call.step)
        if any(other.step == call.step for other in self.running.values()):
            raise Broken(f"P2: {call.kind} of {call.step} starts while an attempt of it still runs")
        if call.kind == "do":
            self._judge_action(call)
        if call.kind == "undo":
            if node.position != "before":
                raise Broken(f"P5: {call.step} is undone, at or after the pivot")
            if not self.forced and self._pivot_happened():
                raise Broken("P5: an undo after the pivot has happened")
            if later := unsettled_after(self.plan, self.record, call.step):
                raise Broken(f"P2: {call.step} is undone before {later[0]}, which came after it")

    def _judge_action(self, call: Call) -> None:
        if self.starts_at is not None and self.now < self.starts_at:
            raise Broken(f"P10: {call.step} is called before the saga starts")
        node = self.plan.node(call.step)
        if node.retries.max_attempts is not None and self.budget[call.step] > node.retries.max_attempts:
            raise Broken(f"P3: {call.step} is called more often than its budget allows")
        if self.compensating:
            raise Broken(f"P2: {call.step} goes forward after compensation has begun")
        if not all(self._state(parent) in ("done", "skipped") for parent in node.after):
            raise Broken(f"P2: {call.step} starts before what it comes after")
        siblings = [one for one in self.running.values() if node.of and self.plan.node(one.step).of == node.of]
        if len(siblings) >= node.max_concurrent and node.of:
            raise Broken(f"{call.step} starts beside {len(siblings)} others, {node.max_concurrent} are allowed")

    def _judge_key(self, call: Call) -> None:
        if self.participants.is_spent(call):
            raise Broken(f"P3: {call.key} is used again, though its attempt is known not done")
        doubt = self.participants.in_doubt(call)
        if call.kind != "check" and doubt and call.key not in doubt:
            raise Broken(f"P3: {call.step} is called under {call.key} while {doubt} is in doubt")

    def _judge_record(self) -> None:
        record = self.record
        self.compensating = self.compensating or record.failure is not None
        if record.status == "completed" and record.failure is not None:
            raise Broken("completed with a failure")
        late = record.deadline_at is not None and self.now >= record.deadline_at
        if self.plan.deadline is not None and record.deadline_at is not None and self.starts_at is not None:
            began = record.deadline_at - self.plan.deadline
            if began < self.starts_at:
                raise Broken(f"P6: the deadline counts from {began}, before the saga begins")
        goes_on = record.status == "running" and record.failure is None and record.undo_request is None
        if late and goes_on and not self._pivot_passed():
            raise Broken("P6: the deadline has passed, and the saga goes on")
        for name, log in record.steps.items():
            node = self.plan.node(name)
            if log.state == "running" and (name, log.calls) not in self.opened:
                self.opened.add((name, log.calls))
                if self.compensating:
                    raise Broken(f"P2: {name} goes forward after compensation has begun")
            if node.kind == "timer" and log.state in ("awaiting", "done"):
                due = self.timers.setdefault(name, self.now + (node.wait or 0.0))
                if log.state == "done" and self.now < due:
                    raise Broken(f"the timer {name} rang too early")
            if name in self.sent and log.state == "awaiting":
                raise Broken(f"P8: the signal {name} was accepted, and is waited for")
            if name in self.strange and log.state == "done":
                raise Broken(f"P8: {name} is done with an output that cannot be read")
            turns_back = record.failure is not None and record.status not in ENDS
            if name in self.strange and turns_back and log.state == "blocked":
                raise Broken(f"P4: {name} waits for a person though its saga is undone")
            self._judge_budget(node, log)

    def _judge_beginning(self, event: str) -> None:
        """Condemn a beginning that is too early, or not the first one."""
        if not event.endswith(".started"):
            return
        if self.began is not None:
            raise Broken("P10: the saga begins twice")
        if self.starts_at is not None and self.now < self.starts_at:
            raise Broken(f"P10: the saga begins at {self.now}, before {self.starts_at}")
        self.began = self.now

    def _judge_backlog(self, calls: list[Call]) -> None:
        """Condemn an attempt that is opened while unconfirmed events fill the outbox."""
        new = [call for call in calls if (call.step, call.call) not in self.asked and call.kind != "check"]
        if new and len(calls) > self.limits.outbox:
            raise Broken(f"{len(calls)} attempts are open, {self.limits.outbox} are allowed")

    def _judge_budget(self, node: NodePlan, log: StepLog) -> None:
        """Condemn a step that is given up before its budget is spent."""
        gave_up = log.state == "blocked" or (self.record.failure or FINE).step == node.name
        cause = self.record.failure.cause if self.record.failure is not None else "exhausted"
        counts = node.kind in ("step", "each") and node.on_unknown == "retry" and log.code is None
        left = node.retries.max_attempts is None or self.budget[node.name] < node.retries.max_attempts
        found_out = "while it ran alone" in ((self.record.failure or FINE).reason or "")
        if found_out and self.lone_crashes < Limits().lone_deaths:
            raise Broken(f"P11: found out, though its worker died {self.lone_crashes} times while it ran alone")
        if gave_up and counts and cause == "exhausted" and log.calls and left and not found_out:
            raise Broken(f"P3: {node.name} was given up with {self.budget[node.name]} calls of its budget")

    def _judge_finish(self, children: tuple[tuple[str, str], ...]) -> None:
        if self.parent is not None and not self.record.released:
            raise Broken("a child is finished before its parent has released it")
        released = {tuple(id.rsplit("/", 2)[1:]) for _, id in children}
        for key in self.participants.happened:
            step, group = step_of(key), key.split("/")[-1]
            started = self.plan.node(step).kind == "child" and self.record.steps[step].calls
            if started and (step, group) not in released:
                raise Broken(f"the child of {step} is never released")

    def judge_end(self) -> None:
        """Judge a saga that has ended or is stuck: every effect must be accounted for."""
        record = self.record
        cause = record.failure.cause if record.failure else None
        if not self.published:
            raise Broken(f"P9: no event tells of the saga: {record}")
        for node in present(self.plan, record):
            effects_left = self.participants.effects_of(node.name)
            state = self._state(node.name)
            if len(effects_left) > 1:
                raise Broken(f"P3: {node.name} has happened under two keys")
            called = node.kind in ("step", "child")
            if record.status == "completed" and state == "done" and not effects_left and called:
                raise Broken(f"{node.name} is done, but its effect is not there")
            if record.status == "completed" and state == "skipped" and effects_left:
                raise Broken(f"P3: {node.name} was skipped with an effect")
            if record.status == "completed" and state not in ("done", "skipped"):
                raise Broken(f"completed with {node.name} {state}")
            if record.status == "failed" and cause != "terminated" and effects_left and node.undo is not None:
                raise Broken(f"P4: the saga failed, and the effect of {node.name} is still there")
        if record.status == "failed" and cause != "terminated" and self._pivot_happened() and not self.forced:
            raise Broken("P5: failed after the pivot")
        if record.status in ENDS and self.running and cause != "terminated":
            raise Broken(f"P2: the saga has ended while {sorted(self.running)} still run")
        if record.status in ENDS and self.published[-1]["type"].split(".")[-1] not in ("completed", "failed"):
            raise Broken("P9: the last event does not tell the end")
        if record.status == "completed" and self.began is None:
            raise Broken("P10: completed, and never began")
        if self.asked_to_undo and record.status == "completed" and not self._pivot_passed():
            raise Broken("P6: a request to undo was dropped")
        if wrong := differences(record, retold(self.published).record):
            raise Broken(f"P9: the events tell another saga: {wrong}")
        if record.status in ENDS and self.parent is not None and not self.told:
            raise Broken("P8: the parent was not told of the end")
        if record.status == "completed":
            for name in self.sent:
                if self._state(name) == "done" and record.steps[name].result != msgspec.Raw(b"7"):
                    raise Broken(f"P8: the signal {name} was accepted and is lost")

    def _state(self, name: str) -> str:
        return self.record.steps[name].state if name in self.record.steps else "pending"

    def _held(self) -> bool:
        return self.record.recoveries >= SUSPECT and not self.record.alone

    def _full(self) -> bool:
        return len(self.record.outbox) + count_open(self.record) >= self.limits.outbox

    def _pivot_happened(self) -> bool:
        pivot = self.plan.pivot
        return pivot is not None and bool(self.participants.effects_of(pivot.name))

    def _pivot_passed(self) -> bool:
        pivot = self.plan.pivot
        return pivot is not None and self._state(pivot.name) in ("done", "skipped")
