"""`Runtime`: what a service holds of its worker. `open_runtime` makes one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from logging import getLogger
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from sagakit_actors import ActorDied, ActorStopped
from typing_extensions import TypeVar

from sagakit.client.errors import bare_errors
from sagakit.client.handle import Handle
from sagakit.cluster.worker import Worker, open_worker
from sagakit.definition import Outcome, Saga
from sagakit.engine import ENDS, Inbound, Loaded, Record, SagaStatus, decode
from sagakit.engine.inputs import InboundKind
from sagakit.errors import NotAllowed, UnknownSaga
from sagakit.store.names import SagaKey
from sagakit.system.config import Config
from sagakit.system.ids import new_id
from sagakit.system.intake import InboxRequest
from sagakit.system.messages import AwaitOutcome, Peek
from sagakit.system.persistence import read, through_outage
from sagakit.system.requests import verdict_of
from sagakit.system.starts import Context

if TYPE_CHECKING:
    import asyncio

_log = getLogger("sagakit")

D = TypeVar("D")
T = TypeVar("T", default=None)

FIRST_LOOK, LAST_LOOK = 0.05, 1.0
"""Seconds between looks at a saga that another worker runs."""


class SagaInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a listing. Times are seconds since the epoch."""

    saga_type: str
    saga_id: str
    status: SagaStatus
    version: int
    owner: str
    created_at: float
    updated_at: float
    stuck: str | None = None


class Runtime:
    """The sagas of one worker. For tasks of its trio thread; `sagakit.asyncio` has the same for asyncio."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._store = worker.store
        self._registry = worker.registry
        self._sagas = worker.sagas
        self._services = worker.services

    @property
    def worker_id(self) -> str:
        """This run of this process; never used again."""
        return self._services.worker_id

    @property
    def config(self) -> Config:
        """The options in force."""
        return self._services.config

    @property
    def messages_sent(self) -> int:
        """Messages sent to the server so far: for benchmarks."""
        return self._store.messages_sent

    # ------------------------------------------------------------- starting

    async def start(
        self,
        saga: type[Saga[D, T]],
        id: str | None,
        input: D,
        *,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: dict[str, str] | None = None,
    ) -> Handle[T]:
        """Start a saga; durable once this returns. The same id and input again give the same saga (P10).

        `id=None` makes an id up, and saves the look into the archive that a caller's own id needs. Waits while the
        worker is full or the store away; cancelled meanwhile, the saga may or may not have been started: start it again
        to know. Raises NotRegistered, InvalidId, InvalidInput, InputTooLarge, AlreadyStarted, StoreFull.
        """
        binding = self._registry.of_class(saga)
        context = Context(correlation_id=correlation_id, causation_id=causation_id, trace=trace)
        address = await self._worker.starts.start(binding, id, binding.encode_input(input), context)
        return Handle(self, binding, address.saga_id, str(address))

    async def execute(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Outcome[T]:
        """Start a saga and wait for its end."""
        return await (await self.start(saga, id, input)).outcome()

    # -------------------------------------------------------------- looking

    async def get(self, saga: type[Saga[D, T]], id: str) -> Handle[T]:
        """A handle on a saga that was started before, wherever it runs. Raises UnknownSaga, NotRegistered."""
        binding = self._registry.of_class(saga)
        key = str(SagaKey(binding.plan.saga_type, id))
        await self.record(key)
        return Handle(self, binding, id, key)

    async def load(self, saga: type[Saga[D, T]], id: str) -> Record:
        """The last durable record of a saga. Raises UnknownSaga, NotRegistered, Undecodable."""
        return await self.record(str(SagaKey(self._registry.of_class(saga).plan.saga_type, id)))

    async def record(self, key: str) -> Record:
        """The last durable record under a live or archived key. Raises UnknownSaga, Undecodable."""
        ref = self._sagas.get(key)
        if ref is not None:
            try:
                return await ref.ask(Peek, timeout=inf)
            except (ActorDied, ActorStopped):
                await trio.lowlevel.checkpoint()
        return await self._worker.requests.record(key)

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """Wait for the terminal record under `key`; with `or_stuck`, for a stuck one, too. Raises UnknownSaga."""
        pause = FIRST_LOOK
        while True:
            ref = self._sagas.get(key)
            if ref is not None:
                try:
                    return await ref.ask(lambda reply: AwaitOutcome(reply, or_stuck), timeout=inf)
                except (ActorDied, ActorStopped):
                    _log.debug("%s: its actor is gone, looking at the store", key)
            record = await self.record(key)
            if record.status in ENDS or (or_stuck and record.status == "stuck"):
                return record
            await trio.sleep(pause)
            pause = min(LAST_LOOK, pause * 2)

    async def list(
        self, *, status: SagaStatus | None = None, type: type[Saga[Any, Any]] | None = None
    ) -> Sequence[SagaInfo]:
        """The sagas with unfinished business; with `status` completed or failed, the archived ones.

        Reads every key of the types asked for: for operators, not for hot paths.
        """
        types = self._registry.types if type is None else [self._registry.of_class(type).plan.saga_type]
        bucket = self._store.archive if status in ENDS else self._store.state
        found: list[SagaInfo] = []
        for saga_type in types:
            async with bucket.entries(saga_type) as entries:
                async for entry in entries:
                    loaded = decode(entry.key, entry.value)
                    if isinstance(loaded, Loaded) and status in (None, loaded.record.status):
                        found.append(_info(loaded.record))
        return sorted(found, key=lambda info: info.created_at)

    async def list_active(self) -> Sequence[str]:
        """The keys of the sagas that run in this worker now."""
        return self._sagas.keys()

    async def scan(self) -> None:
        """Look for sagas left behind now, rather than at the next interval. Raises StoreError in an outage."""
        await self._worker.recovery.scan()

    # ------------------------------------------------------------- changing

    async def apply(self, key: str, kind: InboundKind, *, reason: str = "", by: str = "") -> str:
        """Apply a request to a saga and return its verdict, once that is durable. Raises UnknownSaga."""
        message = Inbound(id=new_id(), kind=kind, reason=reason, by=by)
        requests = self._worker.requests
        verdict = await requests.anywhere(key, message)
        if verdict is None:
            await self._by_inbox(key, message)
        pause = FIRST_LOOK
        while verdict is None:
            await trio.sleep(pause)
            pause = min(LAST_LOOK, pause * 2)
            verdict = verdict_of(await self.record(key), message.id)
        return verdict

    async def _by_inbox(self, key: str, message: Inbound) -> None:
        """Nobody owns the saga just now: whoever adopts it will find the request, which is durable."""
        address = SagaKey.parse(key)
        request = InboxRequest(kind=message.kind, reason=message.reason, by=message.by)
        send = partial(
            self._store.inbox.send,
            id=message.id,
            saga_type=address.saga_type,
            saga_id=address.saga_id,
            payload=msgspec.json.encode(request),
        )
        await through_outage(self._store, send)

    async def compensate(self, saga: type[Saga[D, T]], id: str, reason: str = "") -> None:
        """Ask that a saga be undone; the same as its handle's `cancel`."""
        await (await self.get(saga, id)).cancel(reason)

    async def delete(self, saga: type[Saga[D, T]], id: str) -> None:
        """Forget a finished saga: its archive entry and its end marker. The id may then be started again.

        Raises UnknownSaga, and NotAllowed while the saga has unfinished business.
        """
        key = str(SagaKey(self._registry.of_class(saga).plan.saga_type, id))
        entry = await read(self._store, self._store.state, key)
        if self._sagas.get(key) is not None or (entry is not None and isinstance(decode(key, entry.value), Loaded)):
            raise NotAllowed(f"{key} has unfinished business: cancel or terminate it, wait for its end, then delete it")
        archived = await read(self._store, self._store.archive, key)
        if archived is None and entry is None:
            raise UnknownSaga(f"no saga is stored under {key}")
        if archived is not None:
            await self._store.archive.delete(key, revision=archived.revision)
            await self._store.archive.purge(key)
        if entry is not None:
            await self._store.state.delete(key, revision=entry.revision)
            await self._store.state.purge(key)


@asynccontextmanager
async def open_runtime(
    url: str,
    *,
    sagas: Sequence[Saga[Any, Any]],
    config: Config | None = None,
    host_loop: asyncio.AbstractEventLoop | None = None,
    **options: Any,
) -> AsyncIterator[Runtime]:
    """Open a worker in this trio program: connect, make what is missing, take over what was left behind.

    `url` is `nats://...`, `tls://...`, `embedded:` (a nats-server as a child process) or `memory:`. Options are those
    of `Config`. Leaving the context gives running attempts `grace` seconds. Raises CannotConnect, ServerTooOld,
    JetStreamOff, BadBucket, InvalidConfig, DefinitionError, PlanChanged.
    """
    settings = config if config is not None and not options else Config.of(options)
    with bare_errors():
        async with open_worker(url, sagas=sagas, config=settings, host_loop=host_loop) as worker:
            yield Runtime(worker)


def _info(record: Record) -> SagaInfo:
    return SagaInfo(
        saga_type=record.saga_type,
        saga_id=record.saga_id,
        status=record.status,
        version=record.definition_version,
        owner=record.owner,
        created_at=record.created_at,
        updated_at=record.updated_at,
        stuck=record.stuck,
    )
