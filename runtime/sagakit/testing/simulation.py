"""`simulate`: one run of a saga with the whole runtime, on the store in memory and under virtual time.

Only the server, the clock, the source of randomness and the threads are replaced: plain functions run in place, so that
a schedule always gives the same run. A killed worker is cut off from the server at once. The next one adopts the saga
with the same saga instance, and so with the same test doubles.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from inspect import isawaitable, iscoroutine
from logging import CRITICAL, getLogger
from typing import Any

import msgspec
import trio
import trio.testing
from typing_extensions import TypeVar

from sagakit.binding.record_values import RecordValues
from sagakit.binding.registry import Registry
from sagakit.binding.saga_binding import SagaBinding
from sagakit.client.bare_errors import bare_errors
from sagakit.client.handle import outcome_of
from sagakit.client.runtime import Runtime
from sagakit.client.verbs import as_payload
from sagakit.cluster.worker import run_worker
from sagakit.definition import Saga, Signal, compiled
from sagakit.definition.payloads import PayloadCodec, Payloads
from sagakit.engine import ENDS, EndMarker, decode
from sagakit.errors import DefinitionError, NotAllowed, SagakitError
from sagakit.jetstream.bridge import in_place
from sagakit.messages.step_command import StepCommand
from sagakit.participant.service import Service
from sagakit.store.faults import Watched
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey
from sagakit.system.config import Config
from sagakit.testing.binding import Calling, WatchedBinding
from sagakit.testing.given import check_faults, check_outside_trio, check_sends, check_sequence
from sagakit.testing.judge import Judge
from sagakit.testing.schedule import Faults, MessageAt, WriteFault, WriteFaultKind
from sagakit.testing.services import Participants
from sagakit.testing.trace import Trace

D = TypeVar("D")
T = TypeVar("T", default=None)
W = TypeVar("W")

EPOCH = 1_800_000_000.0
"""Seconds since the epoch when virtual time is 0."""
SAGA_ID = "1"
TOO_LONG = 3e9
"""Virtual seconds after which a run counts as waiting forever."""
LONG_ENOUGH = 60.0
"""Virtual seconds in which a message is applied, whatever faults it meets."""
_CALM: dict[str, Any] = {
    "lease_ttl": 1e9,
    "scan_interval": 1e9,
    "passivate_after": 1e9,
    "drain_timeout": 0.0,
    "gc_threshold": 0,
}
"""Options that keep leases and scans quiet: a saga that sleeps for a month would have nothing but those."""


class Send:
    """A signal that the saga gets from outside, right after its start unless the schedule has another place for it."""

    def __init__(self, signal: Signal[W, object], payload: W) -> None:
        if not isinstance(signal, Signal):
            raise DefinitionError(
                f"Send({signal!r}, ...): write the signal of the class, as Send(PlaceOrder.packed, ...)"
            )
        self.signal: Signal[Any, object] = signal
        self.payload: Any = payload


def simulate(
    saga: Saga[D, T],
    input: D,
    *,
    faults: Faults = Faults(),  # noqa: B008  # frozen
    send: Sequence[Send] = (),
    also: Sequence[Saga[Any, Any]] = (),
    services: Sequence[Service] = (),
    after: timedelta | float | None = None,
    seed: int = 0,
    payload_codec: PayloadCodec | Sequence[PayloadCodec] | None = None,
) -> Trace:
    """Run the saga to its end with these faults, and return a trace. The same arguments give the same run.

    `send` are signals; `also` are instances of the sagas that are its children; `services` do its remote steps, each
    with keys that are kept with its work. `after` delays its start. `payload_codec` is that of its workers and of the
    services: see `open_runtime`. Raises WrongContext within trio; DefinitionError for missing children and services,
    and for faults and signals that the saga cannot have; InvalidConfig for what is not a codec; InvalidInput and
    InputTooLarge as `start` does. Errors inside the saga and broken promises are in the trace.
    """
    check_outside_trio()
    check_sequence(also, "also")
    check_sequence(services, "services")
    missing = Registry([saga, *also]).external_child_types
    if missing:
        raise DefinitionError(f"children are missing: pass instances of {', '.join(missing)} as also=[...]")
    check_faults(compiled(type(saga)).plan, faults)
    check_sends(type(saga), send)
    trace, payloads = Trace(faults), Payloads(payload_codec)
    with _deterministic(seed), _quiet(), in_place() as call_asyncio:
        run = _Simulation(saga, input, trace, send, also, services, after, payloads, call_asyncio, random.Random(seed))
        trio.run(run.run, clock=trio.testing.MockClock(autojump_threshold=0), strict_exception_groups=True)
    return trace


class _Simulation:
    def __init__(
        self,
        saga: Saga[Any, Any],
        input: Any,
        trace: Trace,
        send: Sequence[Send],
        also: Sequence[Saga[Any, Any]],
        services: Sequence[Service],
        after: timedelta | float | None,
        payloads: Payloads,
        call_asyncio: Callable[..., Awaitable[Any]],
        dice: random.Random,
    ) -> None:
        self._saga = saga
        self._input = input
        self._trace = trace
        self._send = send
        self._also = also
        self._after = after
        self._payloads = payloads
        self._call_asyncio = call_asyncio
        self._dice = dice
        self._server = MemoryServer()
        self._server.faults.before_write = self._before_write
        self._server.faults.after_write = self._after_write
        binding = SagaBinding(saga)
        self._plan = binding.plan
        self._key = str(SagaKey(self._plan.saga_type, SAGA_ID))
        self._judge = Judge(self._plan, self._key, trace)
        self._calling = Calling(trace, self._judge, self._durable)
        self._participants = Participants(saga, services, trace, self._server, self._judge.remote, payloads)
        self._kill: Callable[[], None] = lambda: None
        self._deliver: Callable[[MessageAt], None] = lambda message: None
        self._planned = {fault.name for fault in trace.faults.faults if isinstance(fault, MessageAt)}
        self._cancelled = False
        self._over = False

    # ------------------------------------------------------------- the server

    def _durable(self) -> bytes | None:
        entry = self._server.bucket("SAGA_STATE").read(self._key)
        return None if entry is None else entry.value

    def _concerns(self, write: Watched) -> bool:
        return (
            write.where == "events"
            or (write.where in ("state", "archive") and write.key == self._key)
            or (write.where == "commands" and self._command_of(write)[0] is not None)
        )

    def _command_of(self, write: Watched) -> tuple[str | None, StepCommand]:
        command = msgspec.json.decode(write.value, type=StepCommand)
        return self._participants.step_of(command), command

    def _before_write(self, write: Watched) -> None:
        if self._concerns(write):
            self._trace.writes += 1
            if write.where == "commands":
                step, command = self._command_of(write)
                self._judge.remote.sent(step or "", write.key, write.value, command.attempt)
            self._crash("crash_before")

    def _after_write(self, write: Watched) -> None:
        if not self._concerns(write):
            return
        if write.where == "state":
            self._judge.stored(write.value)
            if self._judge.record is not None:
                self._participants.stored(self._judge.record)
        for index, fault in enumerate(self._trace.faults.faults):
            if isinstance(fault, MessageAt) and fault.number == self._trace.writes:
                self._trace.reached.add(index)
                self._deliver(fault)
        self._crash("crash_after")

    def _crash(self, kind: WriteFaultKind) -> None:
        for index, fault in enumerate(self._trace.faults.faults):
            if fault == WriteFault(self._trace.writes, kind) and index not in self._trace.reached:
                self._trace.reached.add(index)
                self._trace.restarts += 1
                self._judge.killed()
                self._kill()

    # ------------------------------------------------------------ the workers

    async def run(self) -> None:
        with trio.move_on_after(TOO_LONG) as limit:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._participants.run)
                while not self._over:
                    await self._life()
                nursery.cancel_scope.cancel()
        if limit.cancelled_caught:
            self._trace.waits = self._awaits_a_signal()
        await self._calling.late()
        record = self._judge.record
        if record is not None:
            self._trace.record = record
            self._trace.stuck = record.status == "stuck"
            if record.status in ENDS:
                self._trace.outcome = outcome_of(compiled(type(self._saga)), record, RecordValues(self._payloads))
            events = [message.payload for message in self._server.events]
            kept = {one.message.id for one in self._server.dead} | {one.id for one in self._server.inbox}
            self._judge.over(record, events, cancelled=self._cancelled, kept=kept)

    def _awaits_a_signal(self) -> bool:
        record = self._judge.record
        return record is not None and any(
            log.state == "awaiting" and log.due is None and self._plan.node(name).kind in ("signal", "child")
            for name, log in record.steps.items()
        )

    async def _life(self) -> None:
        """Run one worker until it is killed or the saga is over."""
        with bare_errors(), trio.CancelScope() as scope:
            async with self._worker(scope) as runtime, trio.open_nursery() as nursery:
                self._deliver = lambda message: nursery.start_soon(self._message, runtime, message)
                handle = await runtime.start(type(self._saga), SAGA_ID, self._input, after=self._after)
                for sent in self._send:
                    if sent.signal.name not in self._planned:
                        await self._signal(runtime, sent)
                if await self._ends(runtime, handle.key):
                    await self._until_retired()
                    await self._start_again(runtime)
                    await self._reply_after_the_end()
                self._over = True
                nursery.cancel_scope.cancel()

    async def _ends(self, runtime: Runtime, key: str) -> bool:
        """Return True once the saga has ended, and False if it is stuck, and no reply or message helps it."""
        while (await runtime.ended(key, or_stuck=True)).status == "stuck":
            told = await self._participants.end()
            await trio.sleep(LONG_ENOUGH)  # a message may be on its way
            if not told and self._judge.record is not None and self._judge.record.status == "stuck":
                return False
        return True

    @asynccontextmanager
    async def _worker(self, scope: trio.CancelScope) -> AsyncIterator[Runtime]:
        registry = Registry([self._saga, *self._also], bind=self._bind, payloads=self._payloads)
        async with (
            open_memory(self._server) as store,
            run_worker(
                store,
                registry=registry,
                config=Config(**_CALM),
                call_asyncio=self._call_asyncio,
                call_thread=call_in_place,
                now=lambda: EPOCH + trio.current_time(),
                random=self._dice.random,
            ) as worker,
        ):

            def kill() -> None:
                store.cut()
                scope.cancel()

            self._kill = kill
            yield Runtime(worker)

    def _bind(self, saga: Saga[Any, Any]) -> SagaBinding:
        if saga is self._saga:
            return WatchedBinding(self._calling, saga, self._payloads)
        return SagaBinding(saga, self._payloads)

    async def _until_retired(self) -> None:
        while True:
            value = self._durable()
            if value is None or isinstance(decode(self._key, value), EndMarker):
                return
            await trio.sleep(1.0)

    async def _start_again(self, runtime: Runtime) -> None:
        """Judge P10: the same start must find the ended saga, and call nothing."""
        before = self._begun()
        await runtime.start(type(self._saga), SAGA_ID, self._input)
        await runtime.ended(self._key)
        if self._begun() != before:
            self._judge.broke("P10: the same start ran the saga again")

    def _begun(self) -> tuple[int, int]:
        """Return the number of calls in workers, and of commands: a participant may get old commands at any time."""
        remote = {node.name for node in self._plan.nodes if node.kind == "remote"}
        return sum(one.step not in remote for one in self._trace.calls), self._judge.remote.intended

    async def _reply_after_the_end(self) -> None:
        """Judge that replies after the end are taken from the inbox, and change nothing."""
        before = self._judge.record
        if await self._participants.end():
            await trio.sleep(LONG_ENOUGH)
            if self._judge.record is not before:
                self._judge.broke("P10: a reply after the end changed the record")
            if any(one.channel == "reply" for one in self._server.inbox):
                self._judge.broke("P8: a reply after the end stays in the inbox")

    # ----------------------------------------------------------- the messages

    async def _message(self, runtime: Runtime, message: MessageAt) -> None:
        if message.name:
            for sent in self._send:
                if sent.signal.name == message.name:
                    await self._signal(runtime, sent)
            return
        verdict = await runtime.apply(self._key, "cancel", reason="the schedule says so", id="simulated-cancel")
        self._cancelled = verdict in ("accepted", "waiting")

    async def _signal(self, runtime: Runtime, sent: Send) -> None:
        payload = as_payload(compiled(type(self._saga)), sent.signal.name, sent.payload)
        try:
            id = f"simulated-{sent.signal.name}"
            verdict = await runtime.apply(self._key, "signal", step=sent.signal.name, payload=payload, id=id)
        except SagakitError as error:
            verdict = repr(error)
        if verdict.startswith("refused"):
            raise NotAllowed(f"the signal {sent.signal.name}: {verdict}")


async def call_in_place(fn: Callable[..., Any], *args: Any) -> Any:
    """Run a plain function in place of a thread, which would let the virtual clock run on.

    Raises TypeError for a function that returns an awaitable, as the runtime's threads do.
    """
    await trio.lowlevel.checkpoint()
    answer = fn(*args)
    if isawaitable(answer):
        if iscoroutine(answer):
            answer.close()
        raise TypeError(f"a plain function returned {answer!r}, which nobody awaits: make it a coroutine function")
    return answer


@contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Make trio's order of tasks follow from the seed, as Hypothesis's own support for trio does."""
    core: Any = trio._core._run  # pyright: ignore[reportPrivateUsage]
    before = core._ALLOW_DETERMINISTIC_SCHEDULING
    core._ALLOW_DETERMINISTIC_SCHEDULING = True
    core._r.seed(seed)
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING = before
        random.setstate(state)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the runtime's log: in a simulation the errors are planned."""
    loggers = [getLogger(name) for name in ("sagakit", "sagakit_actors")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
