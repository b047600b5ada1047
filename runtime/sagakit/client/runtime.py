"""`Runtime`: the object through which a trio program uses its worker. `open_runtime` makes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import inf
from typing import Any, Unpack

import msgspec
import trio
from sagakit_actors import ActorDied, ActorGone
from typing_extensions import TypeVar

from sagakit.binding.saga_binding import SagaBinding
from sagakit.client.bulk import BulkVerb, check_bulk, verdict_or_why, would_be
from sagakit.client.deleting import forget
from sagakit.client.description import Description, described
from sagakit.client.handle import Handle, outcome_of
from sagakit.client.metrics import MetricReading, by_name, readings_of
from sagakit.client.misuse import VERBS_OF_A_HANDLE, elsewhere
from sagakit.client.refusals import check_taken
from sagakit.client.signal_sending import send_signal
from sagakit.client.start_options import StartOptions, context_of, terms_of
from sagakit.client.verbs import as_payload, check_reason, signal_name
from sagakit.client.whole_history import whole_history
from sagakit.cluster.worker import Worker
from sagakit.definition import Outcome, Saga, Signal
from sagakit.definition.payloads import Payloads
from sagakit.engine import Inbound, InboundKind, Record, SagaStatus
from sagakit.engine.record import NOTHING
from sagakit.errors import InvalidInput, NotAllowed, RuntimeClosed
from sagakit.jetstream.whereabouts import Home, context_left
from sagakit.messages.ids import new_id
from sagakit.messages.sealing import message_of, sealed_payload
from sagakit.messages.start_context import NOWHERE, PLAIN
from sagakit.messages.validation import check_id, checked_message
from sagakit.repository import History, Page, SagaInfo, SagaRepository
from sagakit.repository.wanted import wanted_of
from sagakit.store.names import SagaKey
from sagakit.system.config import Config
from sagakit.system.saga.saga_messages import Peek
from sagakit.times import Moment

D = TypeVar("D")
T = TypeVar("T", default=None)
W = TypeVar("W", default=Any)


@elsewhere(VERBS_OF_A_HANDLE)
class Runtime:
    """A worker as a trio program uses it: start sagas, find them, and act on them. Made by `open_runtime`.

        async with sagakit.open_runtime("nats://localhost", sagas=[PlaceOrder(shop)]) as runtime:
            handle = await runtime.start(PlaceOrder, "order-7", order)
            print(await handle.outcome())

    Its methods are for tasks of the trio program that opened it, and raise WrongContext elsewhere. Properties and
    `metrics` may be read from any thread. `sagakit.asyncio` has the same methods for asyncio programs.

    Methods that read or change sagas raise RuntimeClosed once the context was left. They wait while JetStream is away,
    and cancelling such a wait never affects a saga that runs.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._store = worker.store
        self._repository = SagaRepository(worker.store.reading)
        self._registry = worker.registry
        self._sagas = worker.sagas
        self._environment = worker.environment
        self._home = Home("runtime", trio.lowlevel.current_trio_token())

    @property
    def worker_id(self) -> str:
        """The id of this run of this process. No other run ever has it."""
        return self._environment.worker_id

    @property
    def config(self) -> Config:
        """The options of this runtime, defaults included."""
        return self._environment.config

    @property
    def messages_sent(self) -> int:
        """Number of messages sent to the server so far, for benchmarks."""
        return self._store.messages_sent

    @property
    def payloads(self) -> Payloads:
        """The way of values into records and messages, and back, by the `payload_codec`."""
        return self._registry.payloads

    @property
    def ready(self) -> bool:
        """True while sagas make progress here: connected, with a valid lease, and not draining."""
        return self._worker.ready

    async def drain(self) -> None:
        """Take no new sagas, give running attempts `drain_timeout` seconds, and hand the sagas to other workers.

        Leaving the context does the same. Return when the drain is complete; if the wait is cancelled, the drain goes
        on. Afterwards sagas can still be read, and messages still reach the sagas that other workers run; `start`
        raises RuntimeClosed.
        """
        self._home.check_trio()
        await self._worker.drain()

    def metrics(self) -> Mapping[str, float]:
        """Return what docs/metrics.md lists, by the names of Prometheus without `sagakit_`. For any thread.

        `{"ready": 1.0, 'sagas_started_total{type="PlaceOrder"}': 40.0, ...}`. A series appears with its first value.
        """
        return by_name(readings_of(self._worker))

    def readings(self) -> Sequence[MetricReading]:
        """Return the metrics with labels and texts, for exporters such as `sagakit.prometheus`. For any thread."""
        return readings_of(self._worker)

    @property
    def passivated(self) -> int:
        """Number of this worker's sagas that wait for a time or a message, and need no actor meanwhile."""
        return self._sagas.passivated

    # ------------------------------------------------------------- starting

    async def start(
        self, saga: type[Saga[D, T]], id: str | None, input: D, **options: Unpack[StartOptions]
    ) -> Handle[T]:
        """Start a saga. Its first record is durable when this returns. `StartOptions` has the options.

        Starting the same id again with an equal input returns the same saga, running or ended (P10). `id=None` makes up
        an id, and saves the look into the archive that an id of the caller needs. With `at` or `after` the saga waits:
        it is `delayed` until then, and can be cancelled.

        Waits while the worker is full. Cancelled, the saga may or may not have been started: start it again to be sure,
        under the same `message_id` if `id_conflict="error"`. Raises NotRegistered, InvalidId, InvalidInput,
        InputTooLarge; AlreadyStarted (the id has another input); Deleted (its record was deleted from outside);
        StoreFull (the space that is left is kept for running sagas: try again when some have ended); NotAllowed in a
        runtime with `adopt=False`.
        """
        binding = self._to_start(saga, id)
        context = context_of(options) if options else NOWHERE
        value = binding.definition.encode_input(input)
        terms = terms_of(options, now=self._environment.now(), made_up=id is None) if options else PLAIN
        begun = await self._worker.starts.start(binding, id, value, context, terms)
        return Handle(self, saga, begun.saga_id, begun.key)

    async def start_with_signal(
        self,
        saga: type[Saga[D, T]],
        id: str,
        input: D,
        signal: Signal[W, Any],
        payload: W,
        **options: Unpack[StartOptions],
    ) -> Handle[T]:
        """Start a saga with a signal in its first record, or send the signal to the saga that has the id.

        Repeated under the same `message_id`, the signal is applied once. Options, waits and errors are those of
        `start`. An error means that no signal was sent; NotAllowed is raised as by `signal`, too, if the saga is there
        and does not take it.
        """
        binding, key = self._to_start(saga, id), self._key(saga, id)
        name = signal_name(saga, binding.plan, signal)
        context, value = context_of(options), binding.definition.encode_input(input)
        given = sealed_payload(self.payloads, key, name, as_payload(binding.definition, name, payload))
        terms = terms_of(options, now=self._environment.now(), signal=name, payload=given)
        begun = await self._worker.starts.start(binding, id, value, context, terms)
        if begun.known is not None:
            verdict = await self._worker.requests.signal_known(key, begun.known, terms)
            await check_taken(self, key, "signal", name, verdict)
        return Handle(self, saga, id, key)

    async def execute(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Outcome[T]:
        """Start a saga, wait for its end and return its outcome, as `start` and `Handle.outcome` do."""
        binding = self._to_start(saga, id)
        begun = await self._worker.starts.start(binding, id, binding.definition.encode_input(input))
        return outcome_of(binding.definition, await self.ended(begun.key), binding.values)

    # -------------------------------------------------------------- looking

    async def get(self, saga: type[Saga[D, T]], id: str) -> Handle[T]:
        """Return a handle on a saga that was started before, on any worker. Raises UnknownSaga, NotRegistered."""
        key = self._key(saga, id)
        await self.record(key)
        return Handle(self, saga, id, key)

    async def load(self, saga: type[Saga[D, T]], id: str) -> Record:
        """Return the last durable record of a saga. Raises UnknownSaga, NotRegistered, Undecodable."""
        return await self.record(self._key(saga, id))

    async def record(self, key: str) -> Record:
        """Return the last durable record under a key (`Handle.key`). Raises UnknownSaga, Undecodable."""
        self._check_open()
        ref = self._sagas.get(key)
        if ref is not None:
            try:
                record: Record = await ref.ask(Peek, timeout=inf)
                return await self._worker.large_values.filled(key, record)
            except (ActorDied, ActorGone):
                # The actor ended between the look and the answer: the saga has ended, was passivated, or has crashed.
                # Its record is in the store in each case.
                await trio.lowlevel.checkpoint()
        return await self._worker.large_values.filled(key, await self._worker.requests.record(key))

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """Wait until the saga under `key` has ended, and return its last record. With `or_stuck`, also if it is stuck.

        Raises UnknownSaga, and NoWorker as `Handle.outcome`. Cancelling the wait leaves the saga alone.
        """
        self._check_open()
        return await self._worker.large_values.filled(key, await self._worker.requests.ended(key, or_stuck=or_stuck))

    async def list(
        self,
        *,
        status: SagaStatus | None = None,
        type: type[Saga[Any, Any]] | None = None,
        attributes: Mapping[str, str] | None = None,
        created_after: Moment | None = None,
        created_before: Moment | None = None,
        where: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Return the unfinished sagas; with `status` "completed" or "failed", the sagas that ended that way.

            page = await runtime.list(status="stuck", type=PlaceOrder, limit=100)
            print([info.id for info in page.items])

        `where` is a filter (docs/filters.md), such as `"status = stuck and step = charge"`. Sagas that have ended are
        listed if it names their status. A saga has to match `where` and all other arguments.

        Without a `type` it finds sagas of all types of the namespace, also of classes that this runtime does not have.
        A saga matches if it was started with all of the `attributes`. Times are datetimes with a time zone, or seconds
        since the epoch. The saga that was written last comes first. With a `limit`, a page reads about what it shows,
        and `Page.cursor` asks for the next one; without one, every record of the types is read.

        Raises NotRegistered, InvalidInput, StoreError.
        """
        self._check_open()
        wanted = wanted_of(
            types=None if type is None else [self._binding(type).plan.saga_type],
            status=status, attributes=attributes, created_after=created_after, created_before=created_before,
            where=where, now=self._environment.now(),
        )  # fmt: skip
        return await self._repository.list(wanted, limit=limit, cursor=cursor)

    async def history(self, saga: type[Saga[D, T]], id: str) -> History:
        """Return the last record of a saga and its events in order, each once, for as long as the stream keeps them.

        Events that are not published yet are taken from the record, which knows where the others are.
        Raises UnknownSaga, NotRegistered, Undecodable, Unavailable.
        """
        found = await self._repository.history(await self.load(saga, id))
        return await whole_history(self._worker.large_values, found)

    async def describe(self, saga: type[Saga[D, T]], id: str) -> Description:
        """Return one saga for people to read: decoded values, and attempts with times and errors. `print` shows it.

        Attempts come from the events, so this costs and raises the same as `history`.
        """
        found = await self.history(saga, id)
        record, definition = found.record, self._binding(saga).definition
        note, notes = await self._worker.notes.on(record), await self._worker.notes.on_steps(record)
        return described(record, found.events, definition, note, notes, payloads=self.payloads)

    async def list_active(self) -> Sequence[str]:
        """Return the keys of the sagas that have an actor in this worker now."""
        self._home.check_trio()
        return self._sagas.keys()

    async def scan(self) -> None:
        """Look for sagas of dead workers now instead of at the next interval, and take them over.

        Raises StoreError in an outage, RuntimeClosed once a drain has begun, NotAllowed with `adopt=False`.
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
        reason: str = "",
        by: str = "",
        message_id: str | None = None,
    ) -> None:
        """Send a signal to a saga. It is durable when this returns, even if the saga does not await it yet.

        Audited with `by` and `reason` if it has one of them, as where a person sends it: programs need not.
        A sender that may have to send again, because an answer was lost, passes a `message_id`: a signal with the same
        id is applied once and gets the same verdict each time. None makes one up. Cancelled, the signal may or may not
        have arrived. Raises UnknownSaga, NotRegistered; InvalidInput (the payload does not fit, or the signal is of
        another class); NotAllowed (the saga has ended, has turned back, awaits the signal no more, or has received one
        of this name); NoWorker as `Handle.outcome`.
        """
        key = self._key(saga, id)
        definition = self._binding(saga).definition
        await send_signal(self, saga, key, definition, signal, payload, message_id, reason=reason, by=by)

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
        """Apply a message to a saga and return its verdict when that is durable. The verbs of a `Handle` call this.

        A message with the same `id` is applied once; None makes one up. An `id` may have 1,024 characters and `by` 512;
        the first 500 of `reason` are kept. Raises UnknownSaga, InvalidInput, and NoWorker as `Handle.outcome`.
        """
        self._check_open()
        message = message_of(self.payloads, key, kind, reason=reason, by=by, step=step, payload=payload, id=id)
        return await self._worker.requests.deliver(key, message)

    async def bulk(
        self, verb: BulkVerb, infos: Sequence[SagaInfo], *, reason: str, by: str = "", dry_run: bool = True
    ) -> Sequence[tuple[SagaInfo, str]]:
        """Apply an operator's verb to many sagas, and return each one with its verdict.

            page = await runtime.list(status="stuck")
            for info, verdict in await runtime.bulk("retry", page.items, reason="bank is back", dry_run=False):
                print(info.id, verdict)

        A dry run, the default, applies nothing and returns the verdicts that the sagas would give now. `unknown here`
        means that only other workers know the saga's version, `no worker` that no live worker can run it. Each saga is
        audited by itself. Cancelled, the sagas at the front of the list have it applied. Raises InvalidInput before
        anything is applied, if the verb, an item, `reason` or `by` is wrong.
        """
        check_bulk(verb, infos, dry_run)
        check_reason(f"bulk({verb!r}, ...)", verb, reason)
        checked_message(Inbound(id=new_id(), kind=verb, reason=reason, by=by))
        ask = partial(self._would_be, verb=verb) if dry_run else partial(self.apply, kind=verb, reason=reason, by=by)
        return [(info, await verdict_or_why(ask(info.key))) for info in infos]

    async def _would_be(self, key: str, verb: BulkVerb) -> str:
        return await would_be(self._worker, await self.record(key), verb)

    async def compensate(self, saga: type[Saga[D, T]], id: str, reason: str = "") -> None:
        """Request that a saga is undone: the same as `cancel` of its handle."""
        await (await self.get(saga, id)).cancel(reason)

    async def delete(self, saga: type[Saga[D, T]], id: str) -> None:
        """Delete what is kept of an ended saga: its archive entry and its end marker. The id is free then.

        Waits until a saga that has just ended is archived; cancelled meanwhile, it has deleted nothing. It also frees
        the id of a saga whose record was deleted from outside (`nats kv del`, `nats kv purge`). Raises UnknownSaga,
        NotRegistered; NotAllowed while the saga is unfinished, or is a child whose parent may still undo it; NoWorker
        if no worker can archive it.
        """
        await forget(self._store, self._sagas, self._worker.requests, self._key(saga, id))

    def _check_open(self) -> None:
        self._home.check_trio()
        if self._worker.closed:
            raise context_left("runtime")

    def _check_adopts(self, but: str) -> None:
        if not self._worker.adopts:
            raise NotAllowed(f"this runtime was opened with adopt=False, to read and to send messages only: it {but}")

    def _check_taking(self) -> None:
        self._check_open()
        if self._worker.leaving.is_set():
            raise RuntimeClosed("the runtime drains: it takes no sagas over any more")

    def _binding(self, saga: type[Saga[D, T]]) -> SagaBinding:
        """Return the binding of a class. Raises NotRegistered, InvalidInput, RuntimeClosed."""
        self._check_open()
        if not isinstance(saga, type):
            raise InvalidInput(f"{saga!r} is not a Saga class: write the class that is in sagas=[...], not an instance")
        return self._registry.of_class(saga)

    def _to_start(self, saga: type[Saga[D, T]], id: str | None) -> SagaBinding:
        binding = self._binding(saga)
        self._check_adopts("starts no sagas: start it in a worker's runtime, or through the inbox")
        if id is not None:
            check_id(id)
        return binding

    def _key(self, saga: type[Saga[Any, Any]], id: str) -> str:
        """Return the key of a saga. Raises InvalidId, NotRegistered, InvalidInput."""
        return str(SagaKey(self._binding(saga).plan.saga_type, check_id(id)))
