"""Random schedules of a saga whose steps other services do: commands and replies are lost, late, doubled and reordered.

The participant follows the rules of `sagakit.participant`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import structs
from sagakit.definition.plan import Endpoints, NodePlan, OnUnknown, Plan, Retries, UndoPlan
from sagakit.engine import (
    ENDS,
    Adopted,
    CommandSent,
    Inbound,
    InputEvent,
    Loaded,
    MindSilence,
    Prepared,
    Record,
    ReplyAnswer,
    SendCommand,
    Unanswered,
    apply,
    create,
    decode,
    effects,
    encode,
    overdue,
    questions,
    stamped,
    verdict_of,
)
from sagakit.engine.table import OUT, STEP_TABLE
from sagakit.engine.turn import Limits
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.step_command import StepCommand
from sagakit.naming import SagaKey
from sagakit.participant import CommandContext, Done, MemoryKeys, NotDone, Reject, Retry, Service
from sagakit.participant.replies import CommandReply
from sagakit.participant.work import reply_to

REPLIES: tuple[ReplyAnswer, ...] = ("done", "done", "done", "rejected", "not_done", "retry", "unknown")


REMOTE_CELLS: frozenset[tuple[str, str]] = frozenset(
    (state, move)
    for state, row in STEP_TABLE.items()
    for move in row
    if state in OUT or move in ("send", "send_check", "send_undo")
) | {("check_waiting", "block"), ("asked", "block"), ("asked", "refuse")}
"""The moves that only nodes make whose work is done at a participant."""


class Broken(AssertionError):
    """A promise was broken; the text begins with its number."""


@st.composite
def remote_plans(draw: st.DrawFn) -> Plan:
    """Draw a plan of one to three remote nodes, in a row or side by side, perhaps with a pivot."""
    count, pivot = draw(st.integers(1, 3)), draw(st.none() | st.integers(0, 2))
    nodes: list[NodePlan] = []
    for number in range(count):
        before = pivot is None or number < pivot
        policies: list[OnUnknown] = ["retry", "check", "undo", "ask"] if before else ["retry", "check", "ask"]
        policy = draw(st.sampled_from(policies))
        names = [node.name for node in nodes]
        in_row = not before or draw(st.booleans())
        nodes.append(
            NodePlan(
                name=f"s{number}",
                kind="remote",
                after=tuple(names if in_row else ()),
                position="before" if before else "pivot" if number == pivot else "after",
                on_unknown=policy,
                has_check=policy == "check",
                prepared=True,
                timeout=10.0,
                heartbeat=draw(st.sampled_from([None, 4.0])),
                retries=Retries(max_attempts=draw(st.sampled_from([1, 2, None])), initial_interval=1.0),
                undo=UndoPlan(retries=Retries(max_attempts=draw(st.sampled_from([1, None]))), timeout=10.0)
                if before
                else None,
                endpoints=Endpoints(do="svc.do", undo="svc.undo", check="svc.check"),
            )
        )
    return Plan(saga_type="T", nodes=tuple(nodes))


class Desk:
    """A participant by the real rules, with keys in memory. Its handlers do what a test has drawn for them.

    With keys that are not atomic, work that fails may have happened, and nothing is kept of it.
    """

    def __init__(self, *, atomic: bool) -> None:
        self.in_force: set[str] = set()
        self.keys = MemoryKeys()
        self.keys.is_atomic = atomic
        self.answer: ReplyAnswer = "done"
        self.happens = False
        service = Service("svc")

        @service.endpoint("do")
        async def do(order: str, ctx: CommandContext) -> int:
            if ctx.key in self.in_force:  # without transactions a handler has to be idempotent itself
                return 7
            in_doubt = self.answer in ("unknown", "retry", "not_done") and self.happens and not atomic
            if self.answer == "done" or in_doubt:
                self.in_force.add(ctx.key)
            self._fail()
            return 7

        @do.undo("undo")
        async def undo(order: str, result: int | None, ctx: CommandContext) -> None:
            if self.answer in ("done", "rejected", "not_done"):
                self.in_force.discard(ctx.key)
            else:
                self._fail()

        @do.check("check")
        async def check(order: str, ctx: CommandContext) -> Done[int] | NotDone | None:
            if ctx.key in self.in_force:
                return Done(7)
            return None if self.answer == "unknown" else NotDone()

        self._endpoint = do

    def _fail(self) -> None:
        match self.answer:
            case "rejected":
                raise Reject("no")
            case "not_done" if not self.happens:
                raise Retry("closed", not_done=True)
            case "retry" | "not_done":
                raise Retry("busy", after=timedelta(seconds=1))
            case "unknown":
                raise RuntimeError("broke")

    def work(self, command: StepCommand, answer: ReplyAnswer, *, happens: bool) -> CommandReply:
        """Work on a command, and return the reply."""
        self.answer, self.happens = answer, happens
        working = reply_to(self._endpoint, SagaKey("T", "1"), command, self.keys, 1000.0)
        try:
            working.send(None)
        except StopIteration as ended:
            reply: CommandReply = ended.value
            return reply
        raise AssertionError("keys in memory wait for nothing")


class RemoteWorld:
    """A saga, its commands on their way, and the replies on theirs."""

    def __init__(self, plan: Plan, data: Any) -> None:
        self.plan, self.data, self.now = plan, data, 1000.0
        self.service = Desk(atomic=bool(data.draw(st.booleans(), "atomic")))
        self.commands: list[SendCommand] = []
        self.replies: list[Inbound] = []
        self.said: list[Inbound] = []
        self.beaten: set[tuple[str, int]] = set()
        """Attempts whose participant has shown life."""
        self.acknowledged: set[tuple[str, int]] = set()
        self.bytes_of: dict[tuple[str, int], SendCommand] = {}
        record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=self.now)
        self._write(self._answered(record))

    def _answered(self, record: Record) -> Record:
        while asked := questions(self.plan, record):
            answers = [Prepared(question.step, msgspec.Raw(b'"order"')) for question in asked]  # type: ignore[union-attr]
            record = apply(self.plan, record, answers, self.now)
        return record

    def _turn(self, *events: InputEvent) -> None:
        before = self.record
        after = apply(self.plan, self.record, events, self.now)
        if after is not before:
            self._write(self._answered(after))

    def _write(self, record: Record) -> None:
        loaded = decode("T.1", encode(stamped(record, write="w")))
        assert isinstance(loaded, Loaded)
        self.record = loaded.record
        for effect in effects(self.plan, self.record):
            if isinstance(effect, SendCommand) and (effect.step, effect.attempt) not in self.acknowledged:
                self.acknowledged.add((effect.step, effect.attempt))
                self.commands.append(effect)
                self._judge(effect)
            elif isinstance(effect, MindSilence):
                self._judge_silence(effect)

    def _judge(self, command: SendCommand) -> None:
        known = self.bytes_of.setdefault((command.step, command.attempt), command)
        if known != command:
            raise Broken(f"a command is sent again with other bytes: {known}, {command}")
        in_force = {key for key in self.service.in_force if f"/{command.step}/" in key}
        if command.kind == "do" and self.record.failure is not None:
            raise Broken(f"P2: {command.step} goes forward after compensation has begun")
        if command.kind == "do" and in_force - {command.action_key}:
            raise Broken(f"P3: {command.step} is asked for again under another key, and has happened")
        if command.kind == "undo" and self.plan.by_name[command.step].position != "before":
            raise Broken(f"P5: {command.step} is undone, at or after the pivot")

    def _judge_silence(self, minded: MindSilence) -> None:
        if (minded.key, minded.attempt) not in self.beaten:
            raise Broken(f"silence counts before the participant has begun: {minded}")
        if self.plan.by_name[minded.step].heartbeat != minded.heartbeat:
            raise Broken(f"silence counts, and the step does not say so: {minded}")

    # ------------------------------------------------------------- schedule

    def run(self) -> None:
        """Let things happen until the saga has ended, or no operator helps any more."""
        for number in range(300):
            if self.record.status in ENDS:
                break
            if self.record.status == "stuck" and not self._help():
                break
            self._step(wild=number < 60)
        else:
            raise Broken(f"P8: no end: {self.record}")
        for reply in (
            [*self.replies, *self.said] if self.record.status in ENDS else ()
        ):  # what comes after the end changes nothing
            before = self.record
            self._turn(reply)
            if self.record is not before:
                raise Broken("a reply after the end changes the record")
        self._judge_end()

    def _step(self, *, wild: bool) -> None:
        choices = ["work"] * 4 * bool(self.commands) + ["reply"] * 4 * bool(self.replies)
        choices += ["wait"] * (self.record.wake_at is not None)
        if wild:
            choices += ["beat"] * bool(self.bytes_of) + ["silence"] * bool(self._minded())
            choices += ["crash", "cancel"] + ["again"] * bool(self.said) + ["late"] * bool(self.commands)
        if not choices:
            raise Broken(f"P8: nothing will ever happen any more: {self.record}")
        match self.data.draw(st.sampled_from(choices), "next"):
            case "work":
                self._work(self.commands.pop(self.data.draw(st.integers(0, len(self.commands) - 1))), wild=wild)
            case "reply":
                self._reply(self.replies.pop(self.data.draw(st.integers(0, len(self.replies) - 1))))
            case "again":
                self._reply(self.data.draw(st.sampled_from(self.said)))
            case "late":  # JetStream has the command only now
                command = self.data.draw(st.sampled_from(self.commands))
                self.now += 3.0
                self._turn(CommandSent(command.step, command.attempt))
            case "beat":
                self._beat(self.data.draw(st.sampled_from(list(self.bytes_of.values()))))
            case "silence":
                self._silence(self.data.draw(st.sampled_from(self._minded())))
            case "wait":
                self._wait()
            case "crash":
                self.acknowledged.clear()
                self._turn(Adopted("v"))
            case "cancel":
                self._turn(Inbound(id=f"cancel-{self.now}-{self.record.version}", kind="cancel"))

    def _work(self, command: SendCommand, *, wild: bool) -> None:
        answer: ReplyAnswer = self.data.draw(st.sampled_from(REPLIES), "answer") if wild else "done"
        happens = wild and bool(self.data.draw(st.booleans(), "happens"))
        said = self.service.work(self._on_the_wire(command), answer, happens=happens)
        request = msgspec.json.decode(msgspec.json.encode(said), type=InboxRequest)
        reply = request.as_inbound(f"{command.key}/{command.attempt}/{said.answer}")
        if wild and self.data.draw(st.integers(0, 5), "lost") == 0:
            return
        self.replies.append(reply)

    def _on_the_wire(self, command: SendCommand) -> StepCommand:
        sent = StepCommand.of(command, run="r", reply_to="sagareply.svc.T.1", trace=None)
        return msgspec.json.decode(msgspec.json.encode(sent), type=StepCommand)

    def _reply(self, reply: Inbound) -> None:
        self.said.append(reply)
        self._turn(reply)
        if verdict_of(self.plan, self.record, reply, Limits()) is None and self.record.status not in ENDS:
            before = self.record
            self._turn(reply)
            if self.record is not before:
                raise Broken(f"a reply is applied twice: {reply}, {before.steps}")

    def _minded(self) -> list[MindSilence]:
        return [effect for effect in effects(self.plan, self.record) if isinstance(effect, MindSilence)]

    def _beat(self, command: SendCommand) -> None:
        """Let the participant show life in an attempt, which may be over by now; the same again changes nothing."""
        message = Inbound(id="seq-1", kind="heartbeat", key=command.key, run="r", attempt=command.attempt)
        if self.data.draw(st.booleans(), "progress"):
            message = structs.replace(message, payload=msgspec.Raw(b"0.5"))
        self.beaten.add((command.key, command.attempt))
        self._turn(message)
        before = self.record
        self._turn(message, structs.replace(message, run="another"), structs.replace(message, attempt=99))
        if self.record is not before:
            raise Broken(f"a heartbeat is written again: {message}")

    def _silence(self, minded: MindSilence) -> None:
        self.now += 1.0
        self._end([Unanswered(minded.step, minded.attempt, silent=True)])

    def _wait(self) -> None:
        assert self.record.wake_at is not None
        self.now = max(self.now, self.record.wake_at)
        self._end(overdue(self.record, self.now))

    def _end(self, over: list[Unanswered]) -> None:
        for reply in list(self.replies):  # the owner looks for each reply before it says that none has come
            about = [event for event in over if reply.attempt == event.call and f"/{event.step}/" in reply.key]
            if about:
                self.replies.remove(reply)
                self._reply(reply)
        self._turn(*over)

    def _help(self) -> bool:
        match self.data.draw(st.sampled_from(["retry", "retry", "compensate", "nobody"]), "operator"):
            case "nobody":
                return False
            case verb:
                self._turn(Inbound(id=f"{verb}-{self.now}-{self.record.version}", kind=verb, by="eve"))
        asked = [name for name, log in self.record.steps.items() if log.state == "asked"]
        if self.record.status == "stuck" and self.record.failure is not None and asked:
            self._by_hand(asked[0])
        return True

    def _by_hand(self, step: str) -> None:
        """Let an operator say that a step has happened: the saga has turned back, and will undo it.

        They have looked: if it has not happened, the undo meets nothing.
        """
        done = Inbound(id=f"done-{self.now}-{step}", kind="complete-step", step=step, payload=msgspec.Raw(b"7"))
        self._turn(done)

    def _judge_end(self) -> None:
        for node in self.plan.nodes:
            mine = [key for key in self.service.in_force if f"/{node.name}/" in key]
            state = self.record.steps[node.name].state if node.name in self.record.steps else "pending"
            if len(mine) > 1:
                raise Broken(f"P3: {node.name} has happened under two keys: {mine}")
            if self.record.status == "completed" and (state != "done" or not mine):
                raise Broken(f"completed with {node.name} {state}: {mine}")
            if self.record.status == "failed" and mine and node.undo is not None:
                raise Broken(f"P4: the saga failed, and the effect of {node.name} is still there")
        late = [command for command in self.commands if command.kind == "do"]
        for command in late if self.record.status == "failed" else ():
            node = self.plan.by_name[command.step]
            said = self.service.work(self._on_the_wire(command), "done", happens=True)
            if said.answer == "done" and node.undo is not None:
                raise Broken(f"P4: a command of {command.step} that came after the undo was worked")
