"""The participants of a run: services by the rules of `sagakit.participant`, and the faults of their messages.

They outlive the workers of the run, as processes of their own do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Literal, NamedTuple

import msgspec
import trio

from sagakit.definition import Plan, Reject, Retry, Saga, compiled
from sagakit.definition.payloads import Payloads
from sagakit.engine import Record, ReplyAnswer
from sagakit.engine.table import OUT
from sagakit.errors import DefinitionError, UnreadableValue
from sagakit.messages.step_command import StepCommand
from sagakit.naming import SagaKey
from sagakit.participant.key_store import MemoryKeys
from sagakit.participant.replies import CommandReply
from sagakit.participant.service import CommandContext, Service, ServiceEndpoint
from sagakit.participant.serving import endpoints_of
from sagakit.participant.work import reply_to
from sagakit.participant.work_signs import CommandHeartbeat
from sagakit.store.memory_server import MemoryServer, Queued
from sagakit.store.names import Names
from sagakit.testing.remote_judge import RemoteJudge
from sagakit.testing.schedule import RemoteFault, RemoteFaultKind
from sagakit.testing.stubs import stubs_of
from sagakit.testing.trace import Called, Trace

_HOLD: dict[RemoteFaultKind, Literal["over", "next", "undone", "end"]] = {
    "reply_overdue": "over",
    "reject_overdue": "over",
    "unreadable_overdue": "over",
    "reply_late": "next",
    "unknown_late": "next",
    "reply_after_undo": "undone",
    "reply_after_end": "end",
}
"""The moments until which some faults hold a reply: the end of its attempt, the next command about the step, its undo,
or the saga's end."""
_MISFITS = (b"null", b"[[]]", b'{"no":"such"}', b'"unreadable"', b"-0.5")
"""Results of which a type accepts not all, unless it accepts anything."""


class _Held(NamedTuple):
    """A reply that is held, or a command that is not taken, until something happens."""

    until: str
    step: str
    command: StepCommand
    reply: CommandReply | None


class Participants:
    """Serves the commands of one run. The judge hears of what is put into the inbox."""

    def __init__(
        self,
        saga: Saga[Any, Any],
        services: Sequence[Service],
        trace: Trace,
        server: MemoryServer,
        judge: RemoteJudge,
        payloads: Payloads,
    ) -> None:
        self._definition = compiled(type(saga))
        self._plan: Plan = self._definition.plan
        self._endpoints: dict[str, ServiceEndpoint[Any, Any]] = {}
        for service in (*services, *_stubbed(saga)):
            self._endpoints |= {
                f"{service.service}.{name}": one.endpoint for name, one in endpoints_of(service).items()
            }
        self._check()
        self._trace = trace
        self._server = server
        self._judge = judge
        self._payloads = payloads
        self._keys: dict[str, MemoryKeys] = {}
        self._count: Counter[tuple[str, str]] = Counter()
        self._held: list[_Held] = []
        self._replies = 0

    def _check(self) -> None:
        wanted = [
            end
            for node in self._plan.nodes
            if node.endpoints is not None
            for end in (node.endpoints.do, node.endpoints.undo, node.endpoints.check)
        ]
        missing = sorted({end for end in wanted if end} - set(self._endpoints))
        if missing:
            raise DefinitionError(
                f"nobody serves {', '.join(missing)}: pass the services of the remote steps as services=[...], or stub "
                "the saga"
            )

    def step_of(self, command: StepCommand) -> str | None:
        """Return the step of the saga under test that a command is about; None if it is of another saga."""
        head, _, _ = command.key.rsplit("/", 2)
        saga_type, _, _, step = head.split("/", 3)
        return step if saga_type == self._plan.saga_type else None

    async def run(self) -> None:
        """Take commands until cancelled."""
        while True:
            while self._server.commands:
                endpoint, payload = self._server.commands.pop(0)
                await self._take(endpoint, msgspec.json.decode(payload, type=StepCommand))
            await self._server.commands_changed.park()

    def stored(self, record: Record) -> None:
        """Let the replies come that are held until their attempt is over, if it is over in this record."""
        over = [held for held in self._held if held.until == "over" and not _is_out(record, held)]
        self._held = [held for held in self._held if held not in over]
        for held in over:
            assert held.reply is not None, "only replies are held until then"
            self._reply(held.step, held.command, held.reply)

    async def end(self) -> bool:
        """Let what is held happen now, at the end; return True if there was something."""
        return await self._release(lambda held: True)

    async def _release(self, due: Callable[[_Held], bool]) -> bool:
        now = [held for held in self._held if due(held)]
        self._held = [held for held in self._held if not due(held)]
        for held in now:
            reply = held.reply or await self._work(held.step, held.command, late=True)
            self._reply(held.step, held.command, reply)
        return bool(now)

    async def _take(self, endpoint: str, command: StepCommand) -> None:
        if endpoint not in self._endpoints:
            return  # the command of a child that nobody serves: its reply never comes
        step = self.step_of(command)
        if step is None:
            reply = await self._reply_to(self._endpoints[endpoint], command, self._keys_of(endpoint))
            self._reply("", command, reply)
            return
        if await self._release(lambda held: held.until == "next" and held.step == step):
            await trio.sleep(1.0)  # so that it is applied while this command is out
        fault = self._fault_for(step, command)
        if fault == "late":
            self._held.append(_Held("undone", step, command, None))
            return
        reply = await self._work(step, command, fault=fault)
        if fault == "silent":
            self._beat(step, command)
            return
        if fault in _HOLD:
            self._held.append(_Held(_HOLD[fault], step, command, reply))
            return
        undone = command.kind == "undo" and reply.answer == "done"
        if undone:  # the worst moment for a late command: right after its undo, before the saga knows of that
            await self._release(lambda held: held.reply is None and held.command.action_key == command.action_key)
        if fault != "unanswered":
            self._reply(step, command, reply)
        if fault == "twice":
            self._reply(step, command, await self._work(step, command))
        if undone:
            await self._release(lambda held: held.until == "undone" and held.command.action_key == command.action_key)

    async def _work(
        self, step: str, command: StepCommand, *, fault: RemoteFaultKind | None = None, late: bool = False
    ) -> CommandReply:
        called = Called(
            step=step, kind=command.kind, key=command.key, action_key=command.action_key, at=trio.current_time(),
            injected=fault is not None, late=late and command.kind == "do",
        )  # fmt: skip
        self._trace.calls.add(called)
        reply = await self._answered(step, command, fault)
        called.executed = int(reply.answer == "done" or fault is None)
        called.ended = {"done": "done", "retry": "unknown", "unknown": "unknown"}.get(reply.answer, "not done")
        called.error = "" if reply.answer in ("done", "not_done") else reply.reason or reply.code or reply.answer
        return reply

    async def _answered(self, step: str, command: StepCommand, fault: RemoteFaultKind | None) -> CommandReply:
        ends = self._plan.node(step).endpoints
        assert ends is not None, "it is a remote step"
        endpoint, keys = self._endpoints[ends.do], self._keys_of(ends.do)
        match fault:
            case "retry" | "unknown":
                return _said(command, fault)
            case "unknown_late":
                return _said(command, "unknown")
            case "reject" | "not_done" if command.kind == "undo":
                return _said(command, "rejected" if fault == "reject" else "not_done")
            case "reject" | "reject_overdue":
                endpoint = _failing(endpoint, Reject("injected"))
            case "not_done":
                endpoint = _failing(endpoint, Retry("injected", not_done=True))
            case _:
                pass
        reply = await self._reply_to(endpoint, command, keys)
        unreadable = fault in ("unreadable", "unreadable_overdue") and reply.answer == "done"
        return msgspec.structs.replace(reply, payload=self._misfit(step)) if unreadable else reply

    async def _reply_to(
        self, endpoint: ServiceEndpoint[Any, Any], command: StepCommand, keys: MemoryKeys
    ) -> CommandReply:
        return await reply_to(endpoint, _saga_of(command), command, keys, 0.0, self._payloads)

    def _misfit(self, step: str) -> msgspec.Raw:
        """Return a result that cannot be read; if the type of the result accepts anything, one that can."""
        codec = self._definition.nodes[step].result
        for misfit in _MISFITS:
            try:
                codec.decode(misfit)
            except UnreadableValue:
                return msgspec.Raw(misfit)
        return msgspec.Raw(b"null")

    def _keys_of(self, endpoint: str) -> MemoryKeys:
        return self._keys.setdefault(endpoint.partition(".")[0], MemoryKeys())

    def _fault_for(self, step: str, command: StepCommand) -> RemoteFaultKind | None:
        self._count[step, command.kind] += 1
        number = self._count[step, command.kind]
        for index, fault in enumerate(self._trace.faults.faults):
            if not isinstance(fault, RemoteFault) or (fault.step, fault.call) != (step, command.kind):
                continue
            if fault.first <= number < fault.first + fault.commands:
                self._trace.reached.add(index)
                return fault.kind
        return None

    def _reply(self, step: str, command: StepCommand, reply: CommandReply) -> None:
        """Put a reply into the inbox, as a message of its own: a second copy comes after the server's window."""
        self._replies += 1
        id = f"{command.key}/{command.attempt}/{reply.answer}/{self._replies}"
        if step:
            self._judge.replied(step, command, reply.answer, id)
        self._put(command, id, msgspec.json.encode(reply))

    def _beat(self, step: str, command: StepCommand) -> None:
        """Put a heartbeat into the inbox: the participant has begun."""
        self._replies += 1
        self._judge.beaten(step, command.attempt)
        heartbeat = CommandHeartbeat(key=command.key, run=command.run, attempt=command.attempt)
        self._put(command, f"seq-{self._replies}", msgspec.json.encode(heartbeat))

    def _put(self, command: StepCommand, id: str, payload: bytes) -> None:
        key = _saga_of(command)
        self._server.inbox_position += 1
        self._server.inbox.append(
            Queued(
                id,
                key.saga_type,
                key.saga_id,
                payload,
                self._server.inbox_position,
                channel="reply",
                since=trio.current_time(),
            )
        )
        self._server.inbox_changed.unpark_all()


def _saga_of(command: StepCommand) -> SagaKey:
    return Names().address_of(command.reply_to)[1]


def _is_out(record: Record, held: _Held) -> bool:
    log = record.steps[held.step]
    return log.state in OUT and log.calls == held.command.attempt


def _said(command: StepCommand, answer: ReplyAnswer) -> CommandReply:
    code = "injected" if answer == "rejected" else None
    return CommandReply(
        key=command.key, run=command.run, attempt=command.attempt, answer=answer, reason="injected", code=code
    )


def _failing(endpoint: ServiceEndpoint[Any, Any], error: Exception) -> ServiceEndpoint[Any, Any]:
    """Return an endpoint whose action raises this error."""

    async def fail(given: Any, ctx: CommandContext) -> Any:
        raise error

    failing = copy(endpoint)
    failing.fn = fail
    return failing


def _stubbed(saga: Saga[Any, Any]) -> list[Service]:
    """Return services for the remote steps of a saga that `stub` has made; they give its answers."""
    stubs, definition = stubs_of(saga), compiled(type(saga))
    services: list[Service] = []
    for node in definition.plan.nodes if stubs is not None else ():
        if node.endpoints is None:
            continue
        name, _, action = node.endpoints.do.partition(".")
        service = Service(name)
        endpoint = service.endpoint(action)(_answering(stubs, node.name))
        endpoint.result = definition.nodes[node.name].result
        endpoint.undo_name = node.endpoints.undo.partition(".")[2]
        endpoint.check_name = node.endpoints.check.partition(".")[2]
        services.append(service)
    return services


def _answering(stubs: Any, step: str) -> Callable[..., Any]:
    async def answer(given: Any, ctx: CommandContext) -> Any:
        return stubs.answers[step]

    return answer
