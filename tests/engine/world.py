"""A small world around the engine: random plans, participants that misbehave, workers that crash, a clock that jumps.

It keeps its own log of what the participants saw and judges P1 to P6, P8 and P9 from that, not by the engine's rules.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import structs
from sagakit.binding.saga_binding import REVOKED
from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine import (
    ENDS,
    SUSPECT,
    Adopted,
    ArgumentsUnreadable,
    AttemptEnded,
    Call,
    Decide,
    Decided,
    Failure,
    Finish,
    GaveUp,
    Inbound,
    InboundKind,
    InputEvent,
    Isolated,
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
    Sender,
    TellParent,
    WakeAt,
    apply,
    awaits_isolation,
    child_id,
    create,
    decode,
    effects,
    encode,
    known_verdict,
    questions,
    stamped,
)
from sagakit.engine.forward import HAPPENED
from sagakit.engine.keys import key_of
from sagakit.engine.record import StepLog
from sagakit.engine.turn import count_open, makes_room, present
from sagakit.naming import encode_id

from tests.engine.participants import FATES, Fate, Participants, step_of

UNSETTLED = ("running", "awaiting", "checking", "undoing", "undo_waiting", "check_waiting", "undo_failed")
OPERATOR = ("retry", "mark-undone", "complete-step", "compensate", "terminate")
FINE = Failure("cancelled")
PARENT = Parent("P.1", "pr", "node")
CHILD_ID = "1/pr/node/1"
FATHER = Sender("P", "1", "pr")
FORGED: dict[InboundKind, Sender] = {
    "child-ended": Sender("C", "another", "child"),
    "reverse": Sender("P", "1", "another"),
    "release": Sender("P", "1", "another"),
}
LIMITS = Limits()


class Broken(AssertionError):
    """A promise was broken."""


class World:
    """One saga, its participants and its worker. `data` draws what happens.

    `gives_up`: its actor may crash too often. `misread`: what the record holds may be unreadable for a worker.
    """

    def __init__(
        self,
        plan: Plan,
        data: Any,
        *,
        calm_after: int = 60,
        gives_up: bool = True,
        misread: bool = True,
        limits: Limits = LIMITS,
    ) -> None:
        self.plan = plan
        self.data = data
        self.limits = limits
        self.calm_after = calm_after
        self.gives_up = gives_up
        self.misread = misread
        self.now = 1000.0
        self.turns = 0
        self.participants = Participants()
        self.budget: Counter[str] = Counter()  # calls of each action since an operator's last retry
        self.running: dict[tuple[str, int], Call] = {}
        self.asked: set[tuple[str, int]] = set()
        self.queued: dict[tuple[str, int], Call] = {}  # wait for their turn
        self.withdrawn: list[tuple[str, int]] = []  # were not wanted any more before it came
        self.opened: set[tuple[str, int]] = set()
        self.published: list[Any] = []
        self.compensating = False
        self.asked_to_undo = False
        self.forced = False  # an operator has said: compensate, whatever the pivot
        self.sent: set[str] = set()  # signals that were accepted
        self.timers: dict[str, float] = {}  # when each is due
        self.children: set[str] = set()  # the keys of those that have told their end
        self.told = False
        self.strange: set[str] = set()  # children whose output cannot be read, and for whom nobody has given another
        self.said: list[tuple[Inbound, str]] = []  # each message that was applied, and its verdict
        self.lone_crashes = 0
        self.deadly = data.draw(st.integers(0, 7), "a deadly place") == 0
        self.parent = PARENT if data.draw(st.integers(0, 3), "has a parent") == 0 else None
        saga_id = CHILD_ID if self.parent is not None else "1"
        self.key = f"T.{encode_id(saga_id)}"
        self.durable: bytes = b""
        self.record: Record
        self.looked_at: Record | None = None
        first = create(
            plan,
            saga_id=saga_id,
            run="r",
            input=msgspec.Raw(b"{}"),
            owner="w",
            now=self.now,
            parent=self.parent,
            limits=limits,
        )
        self._write(self._answered(first))

    def _rarely(self, what: str, one_in: int = 10) -> bool:
        return self.turns < self.calm_after and self.data.draw(st.integers(1, one_in), what) == 1

    def _is_misread(self) -> bool:
        return self.misread and self._rarely("what it is given cannot be read", 15)

    # ---------------------------------------------------------- the worker

    def _write(self, record: Record) -> None:
        """The write is durable; its effects are performed."""
        self.record = stamped(record, write=f"w:{self.turns}")
        self.durable = encode(self.record)
        self._judge_record()
        asked = effects(self.plan, self.record)
        self._judge_backlog([effect for effect in asked if isinstance(effect, Call)])
        wanted = {(effect.step, effect.call) for effect in asked if isinstance(effect, Call)}
        if not self.record.halted:
            self.withdrawn += [call for call in self.queued if call not in wanted]
            self.queued = {call: queued for call, queued in self.queued.items() if call in wanted}
        for effect in asked:
            match effect:
                case Call():
                    self._call(effect)
                case Publish(events=events):
                    self._publish(events)
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

    def _tell(self, kind: InboundKind, **fields: Any) -> str:
        """A message comes in; what became of it."""
        message = Inbound(id=f"{kind}-{self.turns}", kind=kind, by="eve", **fields)
        if kind != "retry" and self._rarely("something else under its id", 5):  # a retry's budget is reset by now
            decoy: InboundKind = "signal" if kind != "signal" else "report"
            self._turn(Inbound(id=message.id, kind=decoy, step="nowhere"))
        if self._rarely("for another run", 8):
            self._without_effect(structs.replace(message, run="another"), "it was for another run")
        already, over = len(self.published), self.record.status in ENDS
        self._turn(message)
        if over and kind not in ("reverse", "release"):
            return "ended"
        kept = self.record.inbound[-1]
        verdict = kept.verdict
        if (kept.id, kept.kind) != (message.id, kind):
            raise Broken(f"P6: {kind} was taken for another message, {kept.kind} {kept.id}")
        told = [event["type"] for event in self.published[already:]]
        if kind in OPERATOR and verdict == "accepted" and f"saga.T.operator.{kind}" not in told:
            raise Broken(f"{kind} is not audited")
        self.said.append((message, verdict))
        self._come_again()
        return verdict

    def _come_again(self) -> None:
        """A message that was applied comes once more, however long ago it was."""
        if not self._rarely("sent again", 5) or self.record.status in ENDS:
            return
        message, verdict = self.data.draw(st.sampled_from(self.said), "again")
        self._without_effect(message, "was applied twice")
        known = known_verdict(self.record, message)
        if known is None or known.partition(":")[0] != verdict.partition(":")[0]:
            raise Broken(f"P6: {message.kind} was {verdict}, and is {known} now")

    def _without_effect(self, message: Inbound, what: str) -> None:
        before = self.record
        self._turn(message)
        goes_on = makes_room(before, self.limits) is not None  # for its events are out
        after = self.record
        if (after.applied, after.released) != (before.applied, before.released) or (
            after.next_event != before.next_event and not goes_on
        ):
            raise Broken(f"P6: {message.kind} {what}")

    def _forge(self, kind: InboundKind) -> None:
        """Somebody pretends to be this saga's child, or its parent."""
        node = next((node.name for node in self.plan.nodes if node.kind == "child"), "nowhere")
        for sender in (None, FORGED[kind]):
            forged = Inbound(id=f"forged-{self.turns}", kind=kind, run="r", sender=sender, step=node)
            self._without_effect(forged, "was forged, and has an effect")

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
                answer = self.data.draw(st.sampled_from(["run", "run", "skip", "raise"]), "condition")
                return Decided(step, run=answer == "run", error="broke" if answer == "raise" else None)
            case Prepare(step=step):
                if self._rarely("preparation"):
                    return Prepared(step, error="broke")
                if self.plan.by_name[step].kind == "timer":
                    self.timers[step] = self.now + self.data.draw(st.sampled_from([-5.0, 0.0, 20.0]), "due")
                    return Prepared(step, due=self.timers[step])
                items = self.data.draw(st.integers(0, 3), "items")
                return Prepared(step, value=msgspec.Raw(msgspec.json.encode(list(range(items)))), items=items)
            case MakeOutput():
                broken = self._rarely("output")
                return OutputMade(error="broke") if broken else OutputMade(msgspec.Raw(b"1"))

    def _held(self) -> bool:
        return self.record.recoveries >= SUSPECT and not self.record.alone

    def _full(self) -> bool:
        return len(self.record.outbox) + count_open(self.record) >= self.limits.outbox

    def crash(self) -> None:
        """The worker dies; another reads the record and takes it over."""
        for call in [*self.running.values(), *self.queued.values()]:
            self.participants.lost(call)
        self.running.clear()
        self.queued.clear()
        self.withdrawn.clear()
        loaded = decode(self.key, self.durable)
        assert isinstance(loaded, Loaded)
        self.record = loaded.record
        if self.record.status in ENDS:
            return
        self.lone_crashes += self.record.alone
        events: list[InputEvent] = [Adopted("w2", 0.5)]
        if self.gives_up and self._rarely("too often"):
            events.append(GaveUp("it crashed"))
        self._turn(*events)

    # ------------------------------------------------------- what is called

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
        stored = decode(self.key, self.durable) if self.durable else None
        log = stored.record.steps.get(call.step) if isinstance(stored, Loaded) else None
        if log is None or log.calls != call.call or log.state not in ("running", "checking", "undoing"):
            raise Broken(f"P1: {call.kind} of {call.step} is called without a durable record that says so")
        if self._held() and not call.waits:
            raise Broken(f"P11: {call.step} is called, though the saga is suspect and not alone")
        self._judge_order(call)
        self._judge_key(call)
        self.running[call.step, call.call] = call

    def end(self, running: tuple[str, int], fate: Fate) -> None:
        """One call comes to its end."""
        call = self.running.pop(running)
        self._turn(AttemptEnded(call.step, call.call, self.participants.answer(call, fate), 0.5))

    def unread(self, running: tuple[str, int]) -> None:
        """What one call was to be given cannot be read: it is not made."""
        call = self.running.pop(running)
        self.budget[call.step] -= call.kind == "do"
        turned_back = self.record.failure is not None
        self._turn(AttemptEnded(call.step, call.call, ArgumentsUnreadable(error="no such field"), 0.5))
        log, node = self.record.steps[call.step], self.plan.node(call.step)
        if self.record.status in ENDS or node.kind == "child":
            return  # a child may have told its end already
        if not self.record.halted and not (turned_back and call.kind == "do"):
            raise Broken(f"P4: the saga goes on, though {call.step} could not be given what it takes")
        attempts = {"do": log.attempt, "check": log.check_attempt, "undo": log.undo_attempt}
        if attempts[call.kind] != call.attempt - 1 or key_of(self.record, call.step, call.kind, log) != call.key:
            raise Broken(f"P3: {call.step} was not called, and has spent of its budget, or its key")

    def _publish(self, events: Any) -> None:
        for event in events:
            body = msgspec.json.decode(event.event)
            stored = decode(self.key, self.durable)
            if not isinstance(stored, Loaded) or stored.record.next_event <= body["sequence"]:
                raise Broken(f"P9: event {body['sequence']} is published before the record that has it")
            known = next((one for one in self.published if one["sequence"] == body["sequence"]), None)
            if known is None:
                if body["sequence"] != len(self.published) + 1:
                    raise Broken(f"P9: event {body['sequence']} comes after {len(self.published)}")
                self.published.append(body)
            elif known != body:
                raise Broken(f"P9: event {body['sequence']} has changed")

    # --------------------------------------------------------------- judges

    def _judge_order(self, call: Call) -> None:
        node = self.plan.node(call.step)
        if any(other.step == call.step for other in self.running.values()):
            raise Broken(f"P2: {call.kind} of {call.step} starts while an attempt of it still runs")
        if call.kind == "do":
            self._judge_action(call)
        if call.kind == "undo":
            if node.position != "before":
                raise Broken(f"P5: {call.step} is undone, at or after the pivot")
            if not self.forced and self._pivot_stands():
                raise Broken("P5: an undo after the pivot has happened")
            for other in present(self.plan, self.record):
                if other.step not in self.plan.descendants[node.step]:
                    continue
                state = self._state(other.name)
                to_undo = state in ("done", "doubtful") and other.undo is not None and other.kind != "each"
                if state in UNSETTLED or to_undo:
                    raise Broken(f"P2: {call.step} is undone before {other.name}, which came after it")

    def _judge_action(self, call: Call) -> None:
        node = self.plan.node(call.step)
        if node.retries.max_attempts is not None and self.budget[call.step] > node.retries.max_attempts:
            raise Broken(f"P3: {call.step} is called more often than its budget allows")
        if self.compensating:
            raise Broken(f"P2: {call.step} goes forward after compensation has begun")
        if not all(self._state(parent) in ("done", "skipped") for parent in node.after):
            raise Broken(f"P2: {call.step} starts before what it comes after")
        siblings = [one for one in self.running.values() if node.of and self.plan.node(one.step).of == node.of]
        if len(siblings) >= node.parallel and node.of:
            raise Broken(f"{call.step} starts beside {len(siblings)} others, {node.parallel} are allowed")

    def _judge_key(self, call: Call) -> None:
        if self.participants.is_spent(call):
            raise Broken(f"P3: {call.key} is used again, though its attempt is known not done")
        doubt = self.participants.in_doubt(call)
        if call.kind != "check" and doubt and call.key not in doubt:
            raise Broken(f"P3: {call.step} is called under {call.key} while {doubt} is in doubt")

    def _state(self, name: str) -> str:
        return self.record.steps[name].state if name in self.record.steps else "pending"

    def _judge_record(self) -> None:
        record = self.record
        self.compensating = self.compensating or record.failure is not None
        if record.status == "completed" and record.failure is not None:
            raise Broken("completed with a failure")
        late = record.deadline_at is not None and self.now >= record.deadline_at
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

    def _judge_backlog(self, calls: list[Call]) -> None:
        """No attempt is opened while events gather that nobody confirms."""
        new = [call for call in calls if (call.step, call.call) not in self.asked and call.kind != "check"]
        if new and len(calls) > self.limits.outbox:
            raise Broken(f"{len(calls)} attempts are open, {self.limits.outbox} are allowed")

    def _judge_budget(self, node: NodePlan, log: StepLog) -> None:
        """A step is not given up before its budget is spent."""
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
        """The saga has ended or is stuck: every effect is accounted for."""
        record = self.record
        cause = record.failure.cause if record.failure else None
        for node in present(self.plan, record):
            standing = self.participants.standing(node.name)
            state = self._state(node.name)
            if len(standing) > 1:
                raise Broken(f"P3: {node.name} has happened under two keys")
            called = node.kind in ("step", "child")
            if record.status == "completed" and state == "done" and not standing and called:
                raise Broken(f"{node.name} is done, but its effect is not there")
            if record.status == "completed" and state == "skipped" and standing:
                raise Broken(f"P3: {node.name} was skipped with an effect")
            if record.status == "completed" and state not in ("done", "skipped"):
                raise Broken(f"completed with {node.name} {state}")
            if record.status == "failed" and cause != "terminated" and standing and node.undo is not None:
                raise Broken(f"P4: the saga failed, and the effect of {node.name} is still there")
        if record.status == "failed" and cause != "terminated" and self._pivot_stands() and not self.forced:
            raise Broken("P5: failed after the pivot")
        if record.status in ENDS and self.running and cause != "terminated":
            raise Broken(f"P2: the saga has ended while {sorted(self.running)} still run")
        if record.status in ENDS and self.published[-1]["type"].split(".")[-1] not in ("completed", "failed"):
            raise Broken("P9: the last event does not tell the end")
        if self.asked_to_undo and record.status == "completed" and not self._pivot_passed():
            raise Broken("P6: a request to undo was dropped")
        if record.status in ENDS and self.parent is not None and not self.told:
            raise Broken("P8: the parent was not told of the end")
        if record.status == "completed":
            for name in self.sent:
                if self._state(name) == "done" and record.steps[name].result != msgspec.Raw(b"7"):
                    raise Broken(f"P8: the signal {name} was accepted and is lost")

    def _pivot_stands(self) -> bool:
        pivot = self.plan.pivot
        return pivot is not None and bool(self.participants.standing(pivot.name))

    def _pivot_passed(self) -> bool:
        pivot = self.plan.pivot
        return pivot is not None and self._state(pivot.name) in ("done", "skipped")

    # ------------------------------------------------------------- schedule

    def run(self) -> None:
        """Let things happen until the saga has ended, or is stuck and nobody comes."""
        for _ in range(500):
            if self.record.status == "stuck" and (self._goes_on_meanwhile() or self._help()):
                continue
            if self.record.status in ENDS or self.record.status == "stuck":
                self.judge_end()
                if self.record.status == "stuck" or not self._reversed():
                    return
                continue
            self._step()
        raise Broken(f"no end: {self.record.status}")

    def _goes_on_meanwhile(self) -> bool:
        """Whether a call that was under way when the saga was halted comes to its end before anybody helps."""
        if not self.record.halted or not self.running or not self._rarely("goes on meanwhile", 2):
            return False
        compensating = self.compensating
        self.end(min(self.running), self.data.draw(st.sampled_from(FATES), "fate"))
        if self.record.status != "stuck" or (self.compensating and not compensating and self._has_begun_to_undo()):
            raise Broken("a saga that is halted goes on before an operator says so")
        return True

    def _has_begun_to_undo(self) -> bool:
        return any(call.kind == "undo" for call in self.running.values())

    def _reversed(self) -> bool:
        """The parent of a child that has ended undoes it, or lets it go."""
        if self.parent is None:
            return False
        if self.record.status == "completed" and self.data.draw(st.booleans(), "is reversed"):
            self.asked_to_undo = self._tell("reverse", sender=FATHER) == "accepted"
            return self.asked_to_undo
        self._tell("release", sender=FATHER)
        if not any(isinstance(effect, Finish) for effect in effects(self.plan, self.record)):
            raise Broken("P8: a child that was released does not finish")
        return False

    def _help(self) -> bool:
        """Whether an operator moves a stuck saga now."""
        if self.turns > self.calm_after:
            return False
        verbs = ["nobody", "retry", "retry", "cancel", "terminate", "compensate", "mark-undone", "complete-step"]
        match self.data.draw(st.sampled_from(verbs), "operator"):
            case "nobody":
                return False
            case "retry":
                self._retry()
            case "cancel":
                self._cancel("cancel")
            case "terminate":
                self._tell("terminate")
            case "compensate":
                self.forced = True
                self._cancel("compensate")
            case verb:
                self._by_hand(verb)
        return True

    def _retry(self) -> None:
        if not self.record.halted:
            for node in present(self.plan, self.record):
                if self._state(node.name) in ("blocked", "asked", "undo_failed"):
                    self.participants.forget_doubt(node.name)
                if self._state(node.name) in ("blocked", "asked"):
                    self.budget[node.name] = 0
                state = self._state(node.name)
                done = node.name in self.record.steps and self.record.steps[node.name].code in HAPPENED
                if (state == "blocked" and not done) or (state == "asked" and not node.has_check):
                    self.participants.declare_not_done(node.name)
        self._tell("retry")

    def _by_hand(self, verb: Any) -> None:
        """An operator does one step, or its undo, and says so."""
        if not self.record.steps:
            return
        step = self.data.draw(st.sampled_from(sorted(self.record.steps)), "by hand")
        action_key = key_of(self.record, step, "do", self.record.steps[step])
        if verb == "complete-step" and self._state(step) == "blocked":
            self.strange.discard(step)
        if verb == "complete-step" and step in self.plan.by_name and self.plan.by_name[step].kind == "timer":
            self.timers[step] = self.now  # nobody waits for it any more
        verdict = self._tell(verb, step=step, **({"payload": msgspec.Raw(b"7")} if verb == "complete-step" else {}))
        if verdict == "accepted":
            self.participants.by_hand(action_key, undone=verb == "mark-undone")

    def _cancel(self, verb: InboundKind) -> None:
        self.asked_to_undo = self._tell(verb, reason="changed my mind") in ("accepted", "waiting") or self.asked_to_undo

    def _signal(self, name: str) -> None:
        if self._tell("signal", step=name, payload=msgspec.Raw(b"7")) == "accepted":
            self.sent.add(name)

    def _child_ends(self, name: str, failed: bool) -> None:
        """A child that has begun comes to its end, and tells."""
        key = self._child_key(name)
        self.children.add(key)
        self.participants.child_ended(key, failed=failed)
        sender = Sender("C", child_id(self.record, name, self.record.steps[name].group), "child")
        strange = not failed and self._rarely("an output that cannot be read")
        self.strange |= {name} if strange else set()
        self._tell(
            "child-ended",
            run="r",
            sender=sender,
            step=name,
            payload=msgspec.Raw(b"7"),
            code="no" if failed else None,
            refused="it is not what the node takes" if strange else "",
        )

    def _child_key(self, name: str) -> str:
        return key_of(self.record, name, "do", self.record.steps[name])

    def _step(self) -> None:
        wild = self.turns <= self.calm_after
        choices: list[tuple[str, str]] = [("end", "")] * 6 * bool(self.running)
        choices += [("unread", "")] * bool(self.running and wild and self.misread)
        choices += [("turn", "")] * 3 * bool(self.queued) + [("withdrawn", "")] * 3 * bool(self.withdrawn)
        choices += [("wait", "")] * bool(self.record.wake_at)
        full = makes_room(self.record, self.limits) is not None and self.looked_at is not self.record
        choices += [("published", "")] * 3 * full
        choices += [("isolate", "")] * 3 * awaits_isolation(self.plan, self.record, self.now)
        for name in (name for name, node in self.plan.by_name.items() if node.kind == "signal"):
            if wild or self._state(name) == "awaiting":
                choices.append(("signal", name))
        for name, log in self.record.steps.items():
            begun = log.state == "awaiting" or (wild and log.state in ("running", "waiting"))
            if self.plan.node(name).kind == "child" and begun and self._child_key(name) not in self.children:
                choices += [("child", name)] * bool(self.participants.standing(name))
        for name in self.record.steps if wild else ():
            if self.plan.node(name).kind == "step" and self.participants.standing(name):
                choices.append(("report", name))
        if wild:
            choices += [("crash", "")] * (8 if self.deadly else 1)
            choices += [("cancel", "")] + [("terminate", "")] * self._rarely("loud", 20)
            choices += [("forge", kind) for kind in FORGED] * self._rarely("forged", 5)
            if self.record.status == "compensating":
                choices.append(("mark-undone", ""))
            choices += [("complete-step", "")] * any(log.state == "waiting" for log in self.record.steps.values())
        if not choices:
            raise Broken(f"P8: nothing will ever happen any more: {self.record}")
        match self.data.draw(st.sampled_from(choices), "next"):
            case "end", _:
                which = self.data.draw(st.sampled_from(sorted(self.running)), "call")
                self.end(which, self.data.draw(st.sampled_from(FATES), "fate") if wild else "done")
            case "unread", _:
                self.unread(self.data.draw(st.sampled_from(sorted(self.running)), "call"))
            case "turn", _:
                self._made(self.queued.pop(self.data.draw(st.sampled_from(sorted(self.queued)), "its turn")))
            case "withdrawn", _:
                self._turn(AttemptEnded(*self.withdrawn.pop(), REVOKED, 0.5))
            case "wait", _:
                assert self.record.wake_at is not None
                self.now = max(self.now, self.record.wake_at)
                self._turn()
            case "published", _:
                self.looked_at = self.record  # once for each write: its owner hears of it once
                self._turn()
            case "isolate", _:
                self._turn(Isolated())
            case "crash", _:
                self.crash()
            case "terminate", _:
                self._tell("terminate")
            case "forge", kind:
                self._forge(kind)
            case "signal", name:
                self._signal(name)
            case "child", name:
                self._child_ends(name, failed=wild and self.data.draw(st.booleans(), "child fails"))
            case "report", name:
                self._tell("report", step=name, payload=msgspec.Raw(b"7"))
            case ("mark-undone" | "complete-step") as verb, _:
                self._by_hand(verb)
            case _:
                if self.data.draw(st.integers(0, 3), "really") == 0:
                    self._cancel(self.data.draw(st.sampled_from(["cancel", "compensate"]), "by"))
