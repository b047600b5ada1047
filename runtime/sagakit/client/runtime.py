"""`Runtime`: what a service holds of its worker. `open_runtime` makes one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Unpack

import msgspec
import trio
from msgspec import structs
from sagakit_actors import ActorDied, ActorGone
from typing_extensions import TypeVar

from sagakit.binding.saga_binding import SagaBinding
from sagakit.client.bare_errors import bare_errors
from sagakit.client.bulk import BulkVerb, check_bulk, would_be
from sagakit.client.deleting import forget
from sagakit.client.description import Description, described
from sagakit.client.handle import Handle
from sagakit.client.history import events_of
from sagakit.client.listing import History, Page, SagaInfo, check_page, page_of, wanted_of
from sagakit.client.opening import opened
from sagakit.client.refusals import refused
from sagakit.client.verbs import as_payload, message_id_of, step_name, which_signal
from sagakit.cluster.worker import Worker, open_worker
from sagakit.definition import Outcome, Saga, Signal
from sagakit.engine import Inbound, Record, SagaStatus
from sagakit.engine.inputs import InboundKind
from sagakit.engine.record import NOTHING
from sagakit.errors import InvalidInput, NotAllowed, NoWorker, RuntimeClosed, UnknownSaga
from sagakit.jetstream.whereabouts import CONTEXT_LEFT, Home, check_trio
from sagakit.store.names import SagaKey
from sagakit.system.config import Config
from sagakit.system.given_options import RuntimeOptions
from sagakit.system.ids import new_id
from sagakit.system.inbound.starts import StartContext
from sagakit.system.inbound.validation import check_id, checked_context, checked_message
from sagakit.system.saga.saga_messages import Peek
from sagakit.times import Moment

if TYPE_CHECKING:
    import asyncio

D = TypeVar("D")
T = TypeVar("T", default=None)
W = TypeVar("W")


class Runtime:
    """The sagas of one worker. For tasks of its trio thread; `sagakit.asyncio` has the same for asyncio."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._store = worker.store
        self._registry = worker.registry
        self._sagas = worker.sagas
        self._environment = worker.environment
        self._home = Home(trio.lowlevel.current_trio_token())

    @property
    def worker_id(self) -> str:
        """This run of this process; never used again."""
        return self._environment.worker_id

    @property
    def config(self) -> Config:
        """The options in force."""
        return self._environment.config

    @property
    def messages_sent(self) -> int:
        """Messages sent to the server so far: for benchmarks."""
        return self._store.messages_sent

    @property
    def ready(self) -> bool:
        """Whether sagas move here: connected, with a lease in force, and not draining. For any thread."""
        return self._worker.ready

    async def drain(self) -> None:
        """Leave in good order: take nothing new, give running attempts `drain_timeout`, hand the rest over.

        Leaving the context does the same. Waits until it is done; the drain goes on if the wait is cancelled.
        Afterwards sagas can still be looked at, and asked for what others run; `start` raises RuntimeClosed.
        """
        self._home.check_trio()
        await self._worker.drain()

    def metrics(self) -> Mapping[str, float]:
        """Counters (`..._total`) and gauges of this worker by name, as they are now. For any thread."""
        worker = self._worker
        return {
            "ready": float(worker.ready),
            "sagas_active": float(len(self._sagas)),
            "sagas_resting": float(self._sagas.passivated),
            "adoptions_pending": float(worker.recovery.pending),
            "adopted_total": float(worker.recovery.adopted),
            "fenced_total": float(self._environment.fenced_count),
            "overwritten_total": float(self._environment.overwritten_count),
            "messages_sent_total": float(self._store.messages_sent),
            "clock_skew_seconds": self._store.clock.skew,
        }

    @property
    def resting(self) -> int:
        """Sagas of this worker that wait, and cost it no actor."""
        return self._sagas.passivated

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
        attributes: dict[str, str] | None = None,
    ) -> Handle[T]:
        """Start a saga; durable once this returns. The same id and an equal input again give the same saga (P10).

        `attributes` are what `list` finds it by: texts by name. They, `trace` and the two ids may have 16 KiB together,
        as JSON; each id, which every event repeats, 512 characters.

        `id=None` makes an id up, and saves the look into the archive that a caller's own id needs. Waits while the
        worker is full or the store away; cancelled meanwhile, the saga may or may not have been started: start it again
        to know. Raises NotRegistered, InvalidId, InvalidInput, InputTooLarge, AlreadyStarted, Deleted (its record was
        deleted from outside), StoreFull (what is free is kept for the sagas that run; try again when some have ended),
        NotAllowed in a runtime with `adopt=False`.
        """
        binding = self._binding(saga)
        self._check_adopts(
            "starts no sagas: start it in a runtime that is a worker, or through the inbox (docs/wire.md)"
        )
        if id is not None:
            check_id(id)
        context = StartContext(
            correlation_id=correlation_id, causation_id=causation_id, trace=trace, attributes=attributes or {}
        )
        value = binding.encode_input(input)
        address = await self._worker.starts.start(binding, id, value, checked_context(context))
        return Handle(self, binding, address.saga_id, str(address))

    async def execute(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Outcome[T]:
        """Start a saga and wait for its end."""
        return await (await self.start(saga, id, input)).outcome()

    # -------------------------------------------------------------- looking

    async def get(self, saga: type[Saga[D, T]], id: str) -> Handle[T]:
        """A handle on a saga that was started before, wherever it runs. Raises UnknownSaga, NotRegistered."""
        binding, key = self._binding(saga), self._key(saga, id)
        await self.record(key)
        return Handle(self, binding, id, key)

    async def load(self, saga: type[Saga[D, T]], id: str) -> Record:
        """The last durable record of a saga. Raises UnknownSaga, NotRegistered, Undecodable."""
        return await self.record(self._key(saga, id))

    async def record(self, key: str) -> Record:
        """The last durable record under a live or archived key. Raises UnknownSaga, Undecodable."""
        self._check_open()
        ref = self._sagas.get(key)
        if ref is not None:
            try:
                return await ref.ask(Peek, timeout=inf)
            except (ActorDied, ActorGone):
                await trio.lowlevel.checkpoint()
        return await self._worker.requests.record(key)

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """Wait for the terminal record under `key`; with `or_stuck`, for a stuck one, too.

        Raises UnknownSaga, and NoWorker as `Handle.outcome`.
        """
        self._check_open()
        return await self._worker.requests.ended(key, or_stuck=or_stuck)

    async def list(
        self,
        *,
        status: SagaStatus | None = None,
        type: type[Saga[Any, Any]] | None = None,
        attributes: Mapping[str, str] | None = None,
        created_after: Moment | None = None,
        created_before: Moment | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """The sagas with unfinished business; with `status` completed or failed, those that have ended.

        Without a `type`, those of all types of the namespace, whether or not this runtime has their classes. Whoever
        was told that a saga has ended finds it here. `attributes` are those given to `start`; times are datetimes with
        a time zone, or seconds since the epoch. With a `limit` they come in the
        order of their keys, and the page's `cursor` asks for the next ones; without, by age. Reads every key of the
        types asked for: for operators, not for hot paths. Raises NotRegistered, InvalidInput.
        """
        self._check_open()
        saga_type = None if type is None else self._binding(type).plan.saga_type
        check_page(limit, cursor, saga_type)
        wanted = wanted_of(
            status=status, attributes=attributes, created_after=created_after, created_before=created_before
        )
        return await page_of(self._store, [saga_type or ""], wanted, limit=limit, cursor=cursor)

    async def history(self, saga: type[Saga[D, T]], id: str) -> History:
        """What is known of one saga: its last record, and its events in order, as long as the stream keeps them.

        Each event is listed once; those that are not published yet are taken from the record. Reads all events of its
        type since its start, and those before it if its first one is not among them: for operators. Raises UnknownSaga,
        NotRegistered, Undecodable, Unavailable.
        """
        record = await self.load(saga, id)
        return History(record, await events_of(self._store, record))

    async def describe(self, saga: type[Saga[D, T]], id: str) -> Description:
        """One saga for people: values decoded, attempts with times and errors; `print` it for a text.

        Attempts are taken from the events, as long as the stream keeps them: costs and errors as `history`.
        """
        found = await self.history(saga, id)
        notes = self._worker.notes
        binding, note = self._binding(saga), await notes.on(found.record)
        return described(found.record, found.events, binding, note, await notes.on_steps(found.record))

    async def list_active(self) -> Sequence[str]:
        """The keys of the sagas that run in this worker now."""
        self._home.check_trio()
        return self._sagas.keys()

    async def scan(self) -> None:
        """Look for sagas left behind now, rather than at the next interval.

        Raises StoreError in an outage, and RuntimeClosed once a drain has begun: what is found then is for others.
        """
        self._check_taking()
        self._check_adopts("takes no sagas over")
        await self._worker.recovery.scan()
        self._check_taking()

    # ------------------------------------------------------------- changing

    async def signal(
        self,
        saga: type[Saga[Any, Any]],
        id: str,
        signal: Signal[W, Any],
        payload: W,
        *,
        message_id: str | None = None,
    ) -> None:
        """Send a signal to a saga; kept durably once this returns, whether or not it is awaited already.

        A sender who may have to send again, because the answer was lost, gives a `message_id`: of this signal, the
        same id is applied once, and has the same verdict each time. None makes one up. Raises UnknownSaga,
        NotRegistered, InvalidInput (not what the signal takes, or of another saga), NotAllowed (the saga is over or
        turned back, does not await it any more, or has one of this name already), NoWorker as `Handle.outcome`.
        """
        key = self._key(saga, id)
        if not isinstance(signal, Signal):
            raise InvalidInput(f"signal={signal!r}: {which_signal(saga)}")
        binding = self._binding(saga)
        name = await step_name(self, binding, key, signal)
        value = as_payload(binding, name, payload)
        verdict = await self.apply(key, "signal", step=name, payload=value, id=message_id_of(name, message_id))
        if verdict != "accepted":
            raise await refused(self, key, "signal", name, verdict)

    async def apply(
        self,
        key: str,
        kind: InboundKind,
        *,
        reason: str = "",
        by: str = "",
        step: str = "",
        payload: msgspec.Raw = NOTHING,
        id: str | None = None,
    ) -> str:
        """Apply a message to a saga and return its verdict, once that is durable.

        Raises UnknownSaga, InvalidInput, and NoWorker as `Handle.outcome`.
        The same `id` is applied once; None makes one up. It may have 1,024 characters, `by` 512; of `reason` 500 are
        kept.
        """
        self._check_open()
        message = Inbound(id=id or new_id(), kind=kind, reason=reason, by=by, step=step, payload=payload)
        return await self._worker.requests.deliver(key, checked_message(message))

    async def bulk(
        self, verb: BulkVerb, infos: Sequence[SagaInfo], *, reason: str, by: str = "", dry_run: bool = True
    ) -> Sequence[tuple[SagaInfo, str]]:
        """Apply an operator's verb to many sagas, such as the items of a `list`; each with its verdict.

        A dry run, the default, applies nothing and says which verdict each would get now; `unknown here` is that of a
        saga whose version only other workers have, `no worker` of one that no live worker can run. Each is audited by
        itself. Raises InvalidInput, before anything is applied, for items that are not SagaInfos, for verbs that are
        not for many, and for a `reason` or `by` that is no text.
        """
        check_bulk(verb, infos)
        checked_message(Inbound(id=new_id(), kind=verb, reason=reason, by=by))
        done: list[tuple[SagaInfo, str]] = []
        for info in infos:
            try:
                if dry_run:
                    verdict = await self._would_be(info.key, verb)
                else:
                    verdict = await self.apply(info.key, verb, reason=reason, by=by)
            except UnknownSaga:
                verdict = "ended"
            except NoWorker:
                verdict = "no worker"
            done.append((info, verdict))
        return done

    async def _would_be(self, key: str, verb: BulkVerb) -> str:
        record = await self.record(key)
        binding = self._registry.of_record(record)
        if binding is None:
            await self._worker.requests.check_runs(record)
            return "unknown here"
        return would_be(binding, self._environment, record, verb)

    async def compensate(self, saga: type[Saga[D, T]], id: str, reason: str = "") -> None:
        """Ask that a saga be undone; the same as its handle's `cancel`."""
        await (await self.get(saga, id)).cancel(reason)

    async def delete(self, saga: type[Saga[D, T]], id: str) -> None:
        """Forget a finished saga: its archive entry and its end marker. The id may then be started again.

        A saga that has just ended is archived first: waits for that, and deletes nothing if the wait is cancelled. So
        may the id of a saga be whose record was deleted from outside (`nats kv del`, `nats kv purge`): what that left
        under its key is removed. Raises UnknownSaga, NotAllowed while the saga has unfinished business, or is a child
        whose parent has not ended, and NoWorker if no worker can archive it.
        """
        await forget(self._store, self._sagas, self._worker.requests, self._key(saga, id))

    def _check_open(self) -> None:
        self._home.check_trio()
        if self._worker.closed:
            raise RuntimeClosed(CONTEXT_LEFT)

    def _check_adopts(self, but: str) -> None:
        if not self._worker.adopts:
            raise NotAllowed(f"this runtime was opened with adopt=False, only to look and to ask: it {but}")

    def _check_taking(self) -> None:
        self._check_open()
        if self._worker.leaving.is_set():
            raise RuntimeClosed("the runtime drains: it takes no sagas over any more")

    def _binding(self, saga: type[Saga[D, T]]) -> SagaBinding:
        """What belongs to a class. Raises NotRegistered, InvalidInput, RuntimeClosed."""
        self._check_open()
        if not isinstance(saga, type):
            raise InvalidInput(f"{saga!r} is no Saga class: write the class that is in sagas=[...], not an instance")
        return self._registry.of_class(saga)

    def _key(self, saga: type[Saga[Any, Any]], id: str) -> str:
        """Where a saga stands. Raises InvalidId, NotRegistered, InvalidInput."""
        return str(SagaKey(self._binding(saga).plan.saga_type, check_id(id)))


@opened
async def open_runtime(
    url: str,
    *,
    sagas: Sequence[Saga[Any, Any]],
    config: Config | None = None,
    host_loop: asyncio.AbstractEventLoop | None = None,
    adopt: bool = True,
    **options: Unpack[RuntimeOptions],
) -> AsyncIterator[Runtime]:
    """Open a worker in this trio program: connect, make what is missing, take over what was left behind.

    `url` is `nats://...`, `tls://...`, `embedded:` (a nats-server as a child process) or `memory:`. Options are those
    of `Config`, and win over `config`. Leaving the context gives running attempts `drain_timeout` seconds.

    With `adopt=False` it is no worker: it takes no saga over, takes nothing from the inbox, and starts nothing. It is
    for looking, and for signals and verbs, which go to the owners.

    Raises CannotConnect, ServerTooOld, JetStreamOff, PayloadTooSmall, OtherDomain, BadBucket, BadLayout, StoreFull,
    InvalidConfig, DefinitionError, PlanChanged, SchemaChanged.
    """
    check_trio("sagakit.open_runtime")
    settings = Config.of(({} if config is None else structs.asdict(config)) | dict(options))
    with bare_errors():
        async with open_worker(url, sagas=sagas, config=settings, host_loop=host_loop, adopt=adopt) as worker:
            try:
                yield Runtime(worker)
            finally:
                worker.closed = True
