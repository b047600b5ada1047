"""A small world around the engine: random plans, participants that misbehave, workers that crash, a clock that jumps.

It keeps its own log of what the participants saw and judges P1 to P6 and P9 from that, not by the engine's rules.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import msgspec
from hypothesis import strategies as st
from sagakit.definition.plan import Plan
from sagakit.engine import (
    ENDS,
    Adopted,
    Call,
    Compensating,
    Complete,
    Decide,
    Decided,
    Ended,
    Error,
    Finish,
    GaveUp,
    Inbound,
    InputEvent,
    Loaded,
    MakeOutput,
    NotDone,
    OutputMade,
    Publish,
    Published,
    Record,
    Retry,
    WakeAt,
    apply,
    create,
    decode,
    effects,
    encode,
    questions,
    stamped,
)

Fate = Literal["done", "not_done", "lost", "never", "reject", "later"]
"""How a call goes: done; known not done; done but the reply is lost; unknown and it did not happen; refused; asked to
come again later."""

FATES: list[Fate] = ["done", "done", "done", "not_done", "lost", "never", "reject", "later"]


UNSETTLED = ("running", "checking", "undoing", "undo_waiting", "check_waiting", "undo_failed")


class Broken(AssertionError):
    """A promise was broken."""


# ------------------------------------------------------------------- the world


class World:
    """One saga, its participants and its worker. `data` draws what happens."""

    def __init__(self, plan: Plan, data: Any, *, calm_after: int = 60, gives_up: bool = True) -> None:
        self.plan = plan
        self.data = data
        self.calm_after = calm_after
        self.gives_up = gives_up
        self.now = 1000.0
        self.turns = 0
        self.happened: Counter[str] = Counter()  # by action key: did the effect happen
        self.void: set[str] = set()  # action keys that can no longer happen
        self.declared: set[str] = set()  # action keys whose doubt an operator's retry has settled
        self.budget: Counter[str] = Counter()  # calls of each action since an operator's last retry
        self.undone: set[str] = set()  # action keys that were undone
        self.running: dict[tuple[str, int], Call] = {}
        self.started: list[tuple[str, str]] = []  # (kind, step), in the order of the calls
        self.called: set[tuple[str, int]] = set()
        self.published: list[Any] = []
        self.compensating_at: int | None = None
        self.asked_to_undo = False
        self.durable: bytes = b""
        self.record: Record
        self._write(
            self._answered(create(plan, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=self.now))
        )

    # ---------------------------------------------------------- the worker

    def _write(self, record: Record) -> None:
        """The write is durable; its effects are performed."""
        self.record = stamped(record, write=f"w:{self.turns}")
        self.durable = encode(self.record)
        self._judge_record()
        for effect in effects(self.plan, self.record):
            match effect:
                case Call():
                    self._call(effect)
                case Publish(events=events):
                    self._publish(events)
                case WakeAt(at=at):
                    if at <= self.now:
                        raise Broken(f"wake_at {at} is not after {self.now}")
                case Finish():
                    pass

    def _turn(self, *events: InputEvent) -> None:
        self.turns += 1
        before = encode(self.record)
        published = [Published(self.published[-1]["sequence"])] if self.published else []
        after = apply(self.plan, self.record, [*published, *events], self.now)
        if before != encode(self.record):
            raise Broken("apply changed the record it was given")
        after = self._answered(after)
        if after is not self.record:
            self._write(after)

    def _answered(self, record: Record) -> Record:
        while asked := questions(self.plan, record):
            answers: list[InputEvent] = []
            for question in asked:
                match question:
                    case Decide(step=step):
                        answer = self.data.draw(st.sampled_from(["run", "run", "skip", "raise"]), "condition")
                        error = "broke" if answer == "raise" else None
                        answers.append(Decided(step, run=answer == "run", error=error))
                    case MakeOutput():
                        broken = self.turns < self.calm_after and self.data.draw(st.integers(0, 9), "output") == 0
                        answers.append(OutputMade(error="broke") if broken else OutputMade(msgspec.Raw(b"1")))
            record = apply(self.plan, record, answers, self.now)
        return record

    def crash(self) -> None:
        """The worker dies; another reads the record and takes it over."""
        self.running.clear()
        loaded = decode("k", self.durable)
        assert isinstance(loaded, Loaded)
        self.record = loaded.record
        if self.record.status in ENDS:
            return
        events: list[InputEvent] = [Adopted("w2", 0.5)]
        if self.gives_up and self.turns < self.calm_after and self.data.draw(st.integers(0, 9), "too often") == 0:
            events.append(GaveUp("it crashed"))
        self._turn(*events)

    # ----------------------------------------------------- the participants

    def _call(self, call: Call) -> None:
        if (call.step, call.call) in self.called:
            return
        stored = decode("k", self.durable) if self.durable else None
        log = stored.record.steps.get(call.step) if isinstance(stored, Loaded) else None
        if log is None or log.calls != call.call or log.state not in ("running", "checking", "undoing"):
            raise Broken(f"P1: {call.kind} of {call.step} is called without a durable record that says so")
        self._judge_order(call)
        self.called.add((call.step, call.call))
        self.running[call.step, call.call] = call
        self.started.append((call.kind, call.step))

    def end(self, running: tuple[str, int], fate: Fate) -> None:
        """One call comes to its end."""
        call = self.running.pop(running)
        result: Any
        match call.kind, fate:
            case "do", _:
                result = self._do(call, fate)
            case "check", "done" | "lost":
                happened = self.happened[call.action_key] > 0
                if not happened:
                    self.void.add(call.action_key)
                result = Complete(msgspec.Raw(b"1")) if happened else NotDone()
            case "check", _:
                result = Error(error="cannot tell")
            case _:
                result = self._undo(call, fate)
        self._turn(Ended(call.step, call.call, result, 0.5))

    def _do(self, call: Call, fate: Fate) -> Any:
        if fate == "not_done":
            return Error(error="connection refused", not_done=True)  # this attempt never got there
        if call.key in self.void or call.key in self.undone:
            return Compensating(code="key_is_void")
        if self.happened[call.key]:
            return Complete(msgspec.Raw(b"1"))  # idempotent by key
        if fate in ("done", "lost"):
            self.happened[call.key] += 1
        match fate:
            case "done":
                return Complete(msgspec.Raw(b"1"))
            case "reject":
                self.void.add(call.key)  # a refusal is stored under its key
                return Compensating(code="no")
            case "later":
                return Retry(reason="busy", after=2.0, not_done=True)
            case _:
                return Error(error="timeout")

    def _undo(self, call: Call, fate: Fate) -> Any:
        if fate in ("done", "lost"):
            self.undone.add(call.action_key)
        match fate:
            case "done":
                return Complete()
            case "reject":
                return Compensating(code="cannot be undone")
            case _:
                return Error(error="broke", not_done=fate in ("not_done", "later"))

    def _publish(self, events: Any) -> None:
        for event in events:
            body = msgspec.json.decode(event.event)
            known = next((one for one in self.published if one["sequence"] == body["sequence"]), None)
            if known is None:
                if body["sequence"] != len(self.published) + 1:
                    raise Broken(f"P9: event {body['sequence']} comes after {len(self.published)}")
                self.published.append(body)
            elif known != body:
                raise Broken(f"P9: event {body['sequence']} has changed")

    # --------------------------------------------------------------- judges

    def _judge_order(self, call: Call) -> None:
        states = {step: log.state for step, log in self.record.steps.items()}
        node = self.plan.by_name[call.step]
        if any(other.step == call.step for other in self.running.values()):
            raise Broken(f"P2: {call.kind} of {call.step} starts while an attempt of it still runs")
        if call.kind == "do":
            self.budget[call.step] += 1
            if node.retries.attempts is not None and self.budget[call.step] > node.retries.attempts:
                raise Broken(f"P3: {call.step} is called more often than its budget allows")
            if self.compensating_at is not None:
                raise Broken(f"P2: {call.step} goes forward after compensation has begun")
            if not all(states.get(parent) in ("done", "skipped") for parent in node.after):
                raise Broken(f"P2: {call.step} starts before what it comes after")
        if call.kind == "undo":
            if node.position != "before":
                raise Broken(f"P5: {call.step} is undone, at or after the pivot")
            pivot = self.plan.pivot
            if pivot is not None and any(self._stands(key) for key in self._keys(pivot.name)):
                raise Broken("P5: an undo after the pivot has happened")
            for name in self.plan.descendants[call.step]:
                other = self.plan.by_name[name]
                if states.get(name) in UNSETTLED or (
                    states.get(name) in ("done", "doubtful") and other.undo is not None
                ):
                    raise Broken(f"P2: {call.step} is undone before {name}, which came after it")

    def _keys(self, step: str) -> list[str]:
        return [key for key in self.happened if key.split("/")[3] == step]

    def _judge_record(self) -> None:
        if self.record.failure is not None and self.compensating_at is None:
            self.compensating_at = self.turns
        if self.record.status == "completed" and self.record.failure is not None:
            raise Broken("completed with a failure")

    def judge_end(self) -> None:
        """The saga has ended or is stuck: every effect is accounted for."""
        record = self.record
        for step in self.plan.nodes:
            standing = [key for key in self._keys(step.name) if self._stands(key)]
            state = record.steps[step.name].state if step.name in record.steps else "pending"
            if len(standing) > 1:
                raise Broken(f"{step.name} has happened under two keys")
            if record.status == "completed" and state == "done" and len(standing) < 1:
                raise Broken(f"{step.name} is done, but its effect is not there")
            if record.status == "completed" and state == "skipped" and standing:
                raise Broken(f"P3: {step.name} was skipped with an effect")
            cause = record.failure.cause if record.failure else None
            if record.status == "failed" and cause != "terminated" and standing and step.undo is not None:
                raise Broken(f"P4: the saga failed, and the effect of {step.name} is still there")
        if record.status == "failed" and self.plan.pivot is not None and record.failure is not None:
            happened = any(self._stands(key) for key in self._keys(self.plan.pivot.name))
            if happened and record.failure.cause != "terminated":
                raise Broken("P5: failed after the pivot")
        if record.status in ENDS and self.published[-1]["type"].split(".")[-1] not in ("completed", "failed"):
            raise Broken("P9: the last event does not tell the end")
        if self.asked_to_undo and record.status == "completed" and not self._pivot_done():
            raise Broken("P6: a request to undo was dropped")

    def _stands(self, key: str) -> bool:
        return self.happened[key] > 0 and key not in self.undone and key not in self.declared

    def _pivot_done(self) -> bool:
        pivot = self.plan.pivot
        return pivot is not None and self.record.steps[pivot.name].state in ("done", "skipped")

    # ------------------------------------------------------------- schedule

    def run(self) -> None:
        """Let things happen until the saga has ended, or is stuck and nobody comes."""
        for _ in range(400):
            if self.record.status == "stuck" and self._help():
                continue
            if self.record.status in ENDS or self.record.status == "stuck":
                self.judge_end()
                return
            self._step()
        raise Broken(f"no end: {self.record.status}")

    def _help(self) -> bool:
        """Whether an operator moves a stuck saga now."""
        if self.turns > self.calm_after:
            return False
        choice = self.data.draw(st.sampled_from(["nobody", "retry", "retry", "cancel", "terminate"]), "operator")
        status = self.record.status
        match choice:
            case "retry":
                for step, log in self.record.steps.items() if not self.record.halted else ():
                    self.budget[step] = 0
                    if log.state == "blocked" or (log.state == "asked" and not self.plan.by_name[step].has_check):
                        self.declared.update(self._keys(step))  # it says: what was in doubt did not happen
                self._turn(Inbound(id=f"retry-{self.turns}", kind="retry"))
            case "cancel":
                self._cancel()
            case "terminate":
                self._turn(Inbound(id=f"t-{self.turns}", kind="terminate"))
        return self.record.status != status

    def _cancel(self) -> None:
        self._turn(Inbound(id=f"c-{self.turns}", kind="cancel", reason="changed my mind"))
        self.asked_to_undo = self.record.inbound[-1].verdict in ("accepted", "waiting")

    def _step(self) -> None:
        wild = self.turns <= self.calm_after
        choices = ["end"] * 6 * bool(self.running) + ["wait"] * bool(self.record.wake_at)
        if wild:
            choices += ["crash", "cancel"] + (["terminate"] if self.data.draw(st.integers(0, 20), "loud") == 0 else [])
        if not choices:
            raise Broken(f"P8: nothing will ever happen any more: {self.record}")
        match self.data.draw(st.sampled_from(choices), "next"):
            case "end":
                which = self.data.draw(st.sampled_from(sorted(self.running)), "call")
                self.end(which, self.data.draw(st.sampled_from(FATES), "fate") if wild else "done")
            case "wait":
                assert self.record.wake_at is not None
                self.now = max(self.now, self.record.wake_at)
                self._turn()
            case "crash":
                self.crash()
            case "terminate":
                self._turn(Inbound(id=f"t-{self.turns}", kind="terminate"))
            case _:
                if self.data.draw(st.integers(0, 3), "really") == 0:
                    self._cancel()
