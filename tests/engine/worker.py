"""A worker that runs one saga on the engine: it writes, performs effects, crashes, and is judged at each step."""

from __future__ import annotations

from typing import Any

import msgspec
from sagakit.definition.plan import Plan
from sagakit.engine import (
    ENDS,
    Adopted,
    ArgumentsUnreadable,
    AttemptEnded,
    Call,
    Decide,
    Decided,
    Finish,
    GaveUp,
    Inbound,
    InputEvent,
    Limits,
    Loaded,
    MakeOutput,
    OutputMade,
    Parent,
    Prepare,
    Prepared,
    Publish,
    Published,
    Record,
    TellParent,
    WakeAt,
    apply,
    create,
    decode,
    effects,
    encode,
    questions,
    stamped,
)
from sagakit.engine.carried import payload_of
from sagakit.engine.keys import key_of
from sagakit.naming import encode_id

from tests.engine.draws import Draws
from tests.engine.judge import LIMITS, Broken, Judge
from tests.engine.participants import Fate

PARENT = Parent("P.1", "pr", "node")
CHILD_ID = "1/pr/node/1"


class Worker(Judge):
    """A worker of one saga. `draws` decides everything that happens.

    With `misread` a worker may be unable to read the record; with `gives_up` the actor of the saga may crash too often.
    After `calm_after` turns nothing goes wrong any more.
    """

    def __init__(
        self,
        plan: Plan,
        draws: Draws,
        *,
        calm_after: int = 60,
        gives_up: bool = True,
        misread: bool = True,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(plan, limits)
        self.draws = draws
        self.calm_after = calm_after
        self.gives_up = gives_up
        self.misread = misread
        self.turns = 0
        self.queued: dict[tuple[str, int], Call] = {}  # calls that wait for their turn
        self.revoked: list[tuple[str, int]] = []  # calls that were revoked before their turn came
        self.deadly = self.draws.number(0, 7, "a deadly place") == 0
        self.parent = PARENT if self.draws.number(0, 3, "has a parent") == 0 else None
        saga_id = CHILD_ID if self.parent is not None else "1"
        self.key = f"T.{encode_id(saga_id)}"
        self.durable: Record | None = None  # what another worker would read
        if self.draws.number(0, 5, "is delayed") == 0:
            self.starts_at = self.now + 20.0
        self.signal = self._first_signal()
        first = create(
            plan,
            saga_id=saga_id,
            run="r",
            input=msgspec.Raw(b"{}"),
            owner="w",
            now=self.now,
            parent=self.parent,
            starts_at=self.starts_at,
            signal=self.signal,
            limits=limits,
        )
        self._write(self._answered(first))

    def _first_signal(self) -> Inbound | None:
        """Return the signal that comes with the start, if one does."""
        names = [node.name for node in self.plan.nodes if node.kind == "signal"]
        if not names or self.draws.number(0, 2, "starts with a signal"):
            return None
        self.sent.add(names[0])
        return Inbound(id="first", kind="signal", step=names[0], payload=msgspec.Raw(b"7"))

    def _rarely(self, what: str, one_in: int = 10) -> bool:
        return self.turns < self.calm_after and self.draws.number(1, one_in, what) == 1

    def _is_misread(self) -> bool:
        return self.misread and self._rarely("what it is given cannot be read", 15)

    def _write(self, record: Record) -> None:
        """Write a record, which is durable at once, and perform its effects."""
        self.record = stamped(record, write=f"w:{self.turns}")
        loaded = decode(self.key, encode(self.record))
        assert isinstance(loaded, Loaded)
        self.durable = loaded.record
        self._judge_record()
        asked = effects(self.plan, self.record)
        self._judge_backlog([effect for effect in asked if isinstance(effect, Call)])
        wanted = {(effect.step, effect.call) for effect in asked if isinstance(effect, Call)}
        if not self.record.halted:
            self.revoked += [call for call in self.queued if call not in wanted]
            self.queued = {call: queued for call, queued in self.queued.items() if call in wanted}
        for effect in asked:
            match effect:
                case Call():
                    self._call(effect)
                case Publish():
                    self._publish(self.record.outbox)
                case WakeAt(at=at):
                    if at <= self.now and not self._held() and not self._full():
                        raise Broken(f"wake_at {at} is not after {self.now}")
                case TellParent():
                    self.told = True
                case Finish(children=children):
                    self._judge_finish(children)

    def _turn(self, *events: InputEvent) -> None:
        self.turns += 1
        before = encode(self.record)
        taken_over = any(isinstance(event, Adopted) for event in events)
        published = [Published(self.published[-1]["sequence"])] if self.published else []
        after = apply(self.plan, self.record, [*published, *events], self.now, limits=self.limits)
        if before != encode(self.record):
            raise Broken("apply changed the record it was given")
        if taken_over and after.epoch <= self.record.epoch:
            raise Broken("P7: a record was taken over under the same epoch")
        after = self._answered(after)
        if after is not self.record:
            self._write(after)

    def _answered(self, record: Record) -> Record:
        while asked := questions(self.plan, record):
            answers = [self._answer(question) for question in asked]
            record = apply(self.plan, record, answers, self.now, limits=self.limits)
            if any(not isinstance(one, OutputMade) and one.unreadable for one in answers) and not record.halted:
                raise Broken("P4: the saga goes on, though its definition could not be asked")
        return record

    def _answer(self, question: Decide | Prepare | MakeOutput) -> Decided | Prepared | OutputMade:
        match question:
            case Decide(step=step) | Prepare(step=step) if self._is_misread():
                kind = Decided if isinstance(question, Decide) else Prepared
                return kind(step, error="no such field", unreadable=True)
            case Decide(step=step):
                answer = self.draws.pick(["run", "run", "skip", "raise"], "condition")
                return Decided(step, run=answer == "run", error="broke" if answer == "raise" else None)
            case Prepare(step=step):
                if self._rarely("preparation"):
                    return Prepared(step, error="broke")
                if self.plan.by_name[step].kind == "timer":
                    self.timers[step] = self.now + self.draws.pick([-5.0, 0.0, 20.0], "due")
                    return Prepared(step, due=self.timers[step])
                items = self.draws.number(0, 3, "items")
                return Prepared(step, value=msgspec.Raw(msgspec.json.encode(list(range(items)))), items=items)
            case MakeOutput():
                broken = self._rarely("output")
                return OutputMade(error="broke") if broken else OutputMade(msgspec.Raw(b"1"))

    def crash(self) -> None:
        """Let the worker die, and another one read the record and take it over."""
        for call in [*self.running.values(), *self.queued.values()]:
            self.participants.lost(call)
        self.running.clear()
        self.queued.clear()
        self.revoked.clear()
        assert self.durable is not None
        self.record = self.durable
        if self.record.status in ENDS:
            return
        self.lone_crashes += self.record.alone
        events: list[InputEvent] = [Adopted("w2", 0.5)]
        if self.gives_up and self._rarely("too often"):
            events.append(GaveUp("it crashed"))
        self._turn(*events)

    def _call(self, call: Call) -> None:
        if (call.step, call.call) in self.asked:
            return
        self.asked.add((call.step, call.call))
        if call.kind == "do":
            self.budget[call.step] += 1
            if self._rarely("waits for its turn", 3):
                self.queued[call.step, call.call] = call
                return
        self._made(call)

    def _made(self, call: Call) -> None:
        log = self.durable.steps.get(call.step) if self.durable is not None else None
        if log is None or log.calls != call.call or log.state not in ("running", "checking", "undoing"):
            raise Broken(f"P1: {call.kind} of {call.step} is called without a durable record that says so")
        if self._held() and not call.waits:
            raise Broken(f"P11: {call.step} is called, though the saga is suspect and not alone")
        self._judge_order(call)
        self._judge_key(call)
        self.running[call.step, call.call] = call

    def end(self, running: tuple[str, int], fate: Fate) -> None:
        """End one call."""
        call = self.running.pop(running)
        self._turn(AttemptEnded(call.step, call.call, self.participants.answer(call, fate), 0.5))

    def unread(self, running: tuple[str, int]) -> None:
        """End one call because its arguments cannot be read: the function is not called."""
        call = self.running.pop(running)
        self.budget[call.step] -= call.kind == "do"
        turned_back = self.record.failure is not None
        self._turn(AttemptEnded(call.step, call.call, ArgumentsUnreadable(error="no such field"), 0.5))
        log, node = self.record.steps[call.step], self.plan.node(call.step)
        if self.record.status in ENDS or node.kind == "child":
            return  # the end of the child may have arrived already
        if not self.record.halted and not (turned_back and call.kind == "do"):
            raise Broken(f"P4: the saga goes on, though {call.step} could not be given what it takes")
        attempts = {"do": log.attempt, "check": log.check_attempt, "undo": log.undo_attempt}
        if attempts[call.kind] != call.attempt - 1 or key_of(self.record, call.step, call.kind, log) != call.key:
            raise Broken(f"P3: {call.step} was not called, and has spent of its budget, or its key")

    def _publish(self, events: Any) -> None:
        for event in events:
            body = msgspec.json.decode(payload_of(self.record, event))
            if self.durable is None or self.durable.next_event <= body["sequence"]:
                raise Broken(f"P9: event {body['sequence']} is published before the record that has it")
            known = next((one for one in self.published if one["sequence"] == body["sequence"]), None)
            if known is None:
                if body["sequence"] != len(self.published) + 1:
                    raise Broken(f"P9: event {body['sequence']} comes after {len(self.published)}")
                self.published.append(body)
                self._judge_beginning(body["type"])
            elif known != body:
                raise Broken(f"P9: event {body['sequence']} has changed")
