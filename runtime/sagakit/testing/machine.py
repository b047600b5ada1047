"""`SagaMachine`: one saga, several workers and fenced zombies, as a Hypothesis state machine over the engine.

Any worker may take the saga over at any time. The worker before goes on without knowing it: its calls still end, and
its next write is refused. The promises are judged as in a simulation.

    TestPlaceOrder = machine_of(PlaceOrder).TestCase
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sagakit.definition import NotDone as DidNotHappen
from sagakit.definition import Plan, Reject, Saga, compiled
from sagakit.engine import (
    ENDS,
    Adopted,
    AttemptEnded,
    AttemptResult,
    Call,
    Compensating,
    Complete,
    Decide,
    Decided,
    Error,
    Inbound,
    InboundKind,
    InputEvent,
    Isolated,
    Loaded,
    MakeOutput,
    NotHappened,
    OutputMade,
    Prepare,
    Prepared,
    Publish,
    Published,
    Question,
    Record,
    Sender,
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
from sagakit.engine.carried import payload_of
from sagakit.naming import SagaKey
from sagakit.testing.judge import Judge
from sagakit.testing.schedule import Faults
from sagakit.testing.stubs import Stubs
from sagakit.testing.trace import BrokenPromise, Called, Trace

WORKERS = ("w1", "w2", "w3")
SAGA_ID = "1"
_ONE = msgspec.Raw(b"1")
_WHAT_COMES: dict[str, InboundKind] = {"signal": "signal", "child": "child-ended"}
"""The kind of message that a node of each kind waits for."""
_FATES = ("done", "done", "lost", "never", "not_done", "reject")


class _WorkerView:
    """The view of one worker. `record` is its cache, which may be out of date without the worker knowing it."""

    def __init__(self, record: Record, revision: int) -> None:
        self.record = record
        self.revision = revision
        self.running: dict[tuple[str, int], tuple[Call, Called]] = {}


class SagaMachine(RuleBasedStateMachine):
    """The state machine of one saga. Derive from it with `plans` set, or use `machine_of`."""

    plans: ClassVar[st.SearchStrategy[Plan]]

    def __init__(self) -> None:
        super().__init__()
        self.trace: Trace = Trace(Faults())
        """The calls and broken promises so far."""
        self.workers: dict[str, _WorkerView] = {}
        """The workers that believe that the saga is theirs, by name."""
        self.fenced: int = 0
        """The number of writes that were refused because another worker has the saga."""
        self.now: float = 1000.0
        """The wall clock of all workers, in seconds."""
        self._value = b""
        self._revision = 0
        self._writes = 0
        self._events: dict[str, bytes] = {}
        self._cancelled = False

    @initialize(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """Let the first worker start the saga."""
        self.plan: Plan = data.draw(self.plans, "plan")
        self._key = str(SagaKey(self.plan.saga_type, SAGA_ID))
        self.judge: Judge = Judge(self.plan, self._key, self.trace)
        self.participants: Stubs = Stubs({node.name: 1 for node in self.plan.nodes})
        starts_at = self.now + 10.0 if data.draw(st.integers(0, 3), "starts later") == 0 else None
        record = create(self.plan, saga_id=SAGA_ID, run="r", input=_ONE, owner="w1", now=self.now, starts_at=starts_at)
        self._write("w1", self._answered(record), expected=0)

    # ----------------------------------------------------------------- rules

    @rule(name=st.sampled_from(WORKERS))
    def takes_over(self, name: str) -> None:
        """Let a worker find the saga and adopt it; the worker before is not told."""
        if self._stored().status not in ENDS:
            self.judge.killed()
            self._adopt(name)

    def _adopt(self, name: str) -> None:
        """Write the takeover; effects are performed only after that write."""
        events: list[InputEvent] = [Adopted(name)]
        record = self._answered(apply(self.plan, self._stored(), events, self.now))
        self.workers.pop(name, None)
        self._write(name, record, expected=self._revision)

    @precondition(lambda self: any(worker.running for worker in self.workers.values()))
    @rule(data=st.data(), fate=st.sampled_from(_FATES))
    def call_ends(self, data: st.DataObject, fate: str) -> None:
        """End a call of some worker, which may have lost the saga."""
        name = data.draw(st.sampled_from([name for name, worker in self.workers.items() if worker.running]))
        worker = self.workers[name]
        call, called = worker.running.pop(data.draw(st.sampled_from(sorted(worker.running))))
        result = self._participant(call, called, fate)
        if worker.revision == self._revision:
            self.judge.ends(called)
        self._turn(name, AttemptEnded(call.step, call.call, result))

    @precondition(lambda self: bool(self.workers))
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        """Let some worker's timer ring."""
        name = data.draw(st.sampled_from(sorted(self.workers)))
        self.now = max(self.now, self.workers[name].record.wake_at or self.now)
        self._turn(name)

    @precondition(lambda self: bool(self.workers))
    @rule(data=st.data())
    def runs_alone(self, data: st.DataObject) -> None:
        """Give a suspect its worker for itself."""
        name = data.draw(st.sampled_from(sorted(self.workers)))
        if awaits_isolation(self.plan, self.workers[name].record, self.now):
            self._turn(name, Isolated())

    @precondition(lambda self: bool(self.workers))
    @rule(data=st.data(), kind=st.sampled_from(["cancel", "signal", "child-ended"]))
    def message(self, data: st.DataObject, kind: Any) -> None:
        """Deliver a cancel, a signal or a child's end to some worker."""
        name = data.draw(st.sampled_from(sorted(self.workers)))
        wanted = {"signal": "signal", "child-ended": "child"}.get(kind)
        for step in [node.name for node in self.plan.nodes if node.kind == wanted] if wanted else [""]:
            message = self._message(kind, step, self.workers[name].record)
            if not self._turn(name, message):
                return  # the worker was fenced
            verdict = known_verdict(self.workers[name].record, message)
            self._cancelled = self._cancelled or (kind == "cancel" and verdict in ("accepted", "waiting"))

    def _message(self, kind: InboundKind, step: str, record: Record) -> Inbound:
        """Return a message. The end of a child names the child; a node that has not begun has no child to name."""
        sender = None
        if kind == "child-ended" and step in record.steps:
            child = child_id(record, step, record.steps[step].group)
            sender = Sender(self.plan.by_name[step].child_type, child, "child")
        return Inbound(
            id=f"{kind}.{step}.{self._writes}", kind=kind, run=record.run, sender=sender, step=step, payload=_ONE
        )

    @invariant()
    def promises_hold(self) -> None:
        """Raise BrokenPromise if a promise is broken so far."""
        if self.trace.broken:
            raise BrokenPromise("; ".join(self.trace.broken))

    def teardown(self) -> None:
        """Let nothing go wrong any more until the saga ends or is stuck; then judge every effect."""
        if not self._value:
            return
        for _ in range(300):
            if self._stored().status in (*ENDS, "stuck"):
                break
            self._fair_weather()
        record = self._stored()
        self.judge.over(record, list(self._events.values()), cancelled=self._cancelled)
        self.promises_hold()

    def _fair_weather(self) -> None:
        owner = next((name for name, worker in self.workers.items() if worker.revision == self._revision), None)
        if owner is None:
            self.takes_over("w1")
            return
        worker = self.workers[owner]
        if worker.running:
            call, called = worker.running.pop(min(worker.running))
            self.judge.ends(called)
            self._turn(owner, AttemptEnded(call.step, call.call, self._participant(call, called, "done")))
            return
        if awaits_isolation(self.plan, worker.record, self.now):
            self._turn(owner, Isolated())
            return
        for step, log in worker.record.steps.items():
            kind = _WHAT_COMES.get(self.plan.node(step).kind)
            if log.state == "awaiting" and kind is not None:
                self._turn(owner, self._message(kind, step, worker.record))
                return
        self.now = max(self.now, worker.record.wake_at or self.now)
        self._turn(owner)

    # --------------------------------------------------------------- the store

    def _stored(self) -> Record:
        found = decode(self._key, self._value)
        assert isinstance(found, Loaded)
        return found.record

    def _write(self, name: str, record: Record, *, expected: int) -> bool:
        """Write by compare-and-set; a worker that has lost the saga is fenced, and forgets it."""
        if expected != self._revision:
            self.fenced += 1
            self.workers.pop(name, None)
            return False
        self._writes += 1
        record = stamped(record, write=f"{name}:{self._writes}")
        self._value, self._revision = encode(record), self._revision + 1
        self.judge.stored(self._value)
        worker = self.workers.setdefault(name, _WorkerView(record, self._revision))
        worker.record, worker.revision = record, self._revision
        self._perform(worker)
        return True

    def _turn(self, name: str, *events: InputEvent) -> bool:
        worker = self.workers[name]
        published = [Published(len(self._events))] if worker.revision == self._revision else []
        record = self._answered(apply(self.plan, worker.record, [*published, *events], self.now))
        return record is worker.record or self._write(name, record, expected=worker.revision)

    def _answered(self, record: Record) -> Record:
        while asked := questions(self.plan, record):
            record = apply(self.plan, record, [self._answer(question) for question in asked], self.now)
        return record

    def _answer(self, question: Question) -> InputEvent:
        match question:
            case Decide(step=step):
                return Decided(step, run=True)
            case Prepare(step=step):
                timer = self.plan.by_name[step].kind == "timer"
                return Prepared(step, value=msgspec.Raw(b"[0,1]"), items=2, due=self.now + 5.0 if timer else None)
            case MakeOutput():
                return OutputMade(_ONE)

    def _perform(self, worker: _WorkerView) -> None:
        for effect in effects(self.plan, worker.record):
            match effect:
                case Call():
                    self._call(worker, effect)
                case Publish():
                    for event in worker.record.outbox:
                        payload = payload_of(worker.record, event)
                        if self._events.setdefault(f"{event.seq}", payload) != payload:
                            self.judge.broke(f"P9: event {event.seq} has changed")
                case _:
                    pass

    def _call(self, worker: _WorkerView, call: Call) -> None:
        if (call.step, call.call) in worker.running:
            return
        called = Called(step=call.step, kind=call.kind, key=call.key, action_key=call.action_key, at=self.now)
        self.judge.begins(called, self._value)
        self.trace.calls.add(called)
        worker.running[call.step, call.call] = (call, called)

    def _participant(self, call: Call, called: Called, fate: str) -> AttemptResult:
        called.injected = fate != "done"
        result: AttemptResult
        if fate == "not_done":
            result = Error(error="not done", not_done=True)
        elif fate == "never":
            result = Error(error="nobody knows")
        elif fate == "reject" and (
            call.kind == "undo" or (call.kind == "do" and self.participants.refuse(call.action_key))
        ):
            result = Compensating(code="no")
        else:
            result = self._does(call, called)
            result = Error(error="the answer is lost") if fate == "lost" else result
        called.ended = {Complete: "done", Error: "unknown"}.get(type(result), "not done")
        called.error = "" if isinstance(result, Complete | NotHappened) else "injected"
        return result

    def _does(self, call: Call, called: Called) -> AttemptResult:
        try:
            answer = self.participants.call(self.plan.step_of(call.step), call.kind, call.action_key)
        except Reject as refusal:
            return Compensating(code=refusal.code)
        called.executed += 1  # not for a refusal, which did nothing, even if its answer is lost
        return NotHappened() if isinstance(answer, DidNotHappen) else Complete(_ONE)


def machine_of(saga: type[Saga[Any, Any]]) -> type[SagaMachine]:
    """Return the machine for the plan of one saga class; the functions of the class are not called."""
    plan = compiled(saga).plan
    return type(f"{saga.__name__}Machine", (SagaMachine,), {"plans": st.just(plan)})
