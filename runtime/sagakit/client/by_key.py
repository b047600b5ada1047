"""`PlainAccess`: sagas by key and as JSON, for tools that have none of the classes, such as the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import NamedTuple

import msgspec
import trio

from sagakit.client.bare_errors import bare_errors
from sagakit.client.copies import store_copy
from sagakit.client.deleting import forget
from sagakit.client.description import Description, described
from sagakit.client.fleet_view import FleetView
from sagakit.client.kept_plans import KeptPlans
from sagakit.client.lookup import Lookup
from sagakit.client.restoring import RebuiltSaga, rebuild
from sagakit.client.runtime import Runtime
from sagakit.client.whole_history import whole_history
from sagakit.cluster.control_endpoint import answers
from sagakit.cluster.lease import read_leases
from sagakit.cluster.lease_value import Lease
from sagakit.cluster.value_sweep import Swept, sweep
from sagakit.cluster.worker import Worker, open_worker
from sagakit.definition import Plan
from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.engine import Record
from sagakit.engine.events import CloudEvent
from sagakit.engine.record import NOTHING
from sagakit.errors import InvalidInput, StoreError
from sagakit.jetstream.store import JetStreamStore
from sagakit.messages.ids import new_id
from sagakit.messages.inbox_request import IdConflict, InboxRequest
from sagakit.messages.sealing import sealed_request
from sagakit.messages.start_context import StartContext
from sagakit.messages.validation import check_id, checked_context, checked_message_id
from sagakit.naming import is_name
from sagakit.repository import History, SagaRepository
from sagakit.store.names import Names, SagaKey
from sagakit.store.ports import Wire
from sagakit.system.config import Config
from sagakit.system.io.persistence import read

ANSWERS_WITHIN = 1.0
"""Seconds that a worker gets to show that it lives."""


class LiveLease(NamedTuple):
    """The lease of a worker. `answers` is False if nobody listens on its control subject, None if that is not known."""

    lease: Lease
    answers: bool | None


class PlainAccess:
    """Reads, starts, deletes and rebuilds sagas of all types, without their classes. Made by `open_plain`.

        async with open_plain("nats://localhost", Config()) as sagas:
            print(await sagas.describe("PlaceOrder.order-7"))

    Values are JSON. The methods are for tasks of the trio program that opened it, and wait while JetStream is away.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._store = worker.store
        self.repository: SagaRepository = SagaRepository(worker.store.reading)
        """The stored sagas."""
        self._plans = KeptPlans(partial(read, self._store, self._store.meta))
        self.runtime: Runtime = Runtime(worker)
        """The runtime of this process. It runs no sagas; `list`, `record`, `ended` and `apply` need no class."""

    def now(self) -> float:
        """Return the time of the server's clock, in seconds since the epoch."""
        return self._store.clock.now()

    @property
    def wire(self) -> Wire | None:
        """The connection itself, for jobs and tails; None for a store in memory."""
        return self._store.wire if isinstance(self._store, JetStreamStore) else None

    @property
    def names(self) -> Names:
        """The names on the wire."""
        return self._store.names

    async def record(self, key: str) -> Record:
        """Return the last durable record under a key, as `Runtime.record` does."""
        return await self.runtime.record(key)

    async def history(self, key: str) -> History:
        """Return the last record of a saga and its events, as `Runtime.history` does."""
        record = await self.runtime.record(key)
        return await whole_history(self._worker.large_values, await self.repository.history(record))

    async def filled(self, record: Record) -> Record:
        """Return a record with its large values. Raises ValueLost."""
        return await self._worker.large_values.filled(str(SagaKey(record.saga_type, record.saga_id)), record)

    async def describe(self, key: str) -> Description:
        """Return a saga for people to read, as `Runtime.describe` does. Its values are plain JSON."""
        found = await self.history(key)
        note = await self._worker.notes.on(found.record)
        return described(
            found.record,
            found.events,
            None,
            note,
            {},
            plan=await self.plan_of(found.record),
            payloads=self.runtime.payloads,
        )

    async def plan_of(self, record: Record) -> Plan | None:
        """Return the plan that the workers keep of the saga's version; None if it is gone or cannot be read."""
        return await self._plans.of(record)

    async def start(
        self,
        address: SagaKey,
        input: msgspec.Raw,
        context: StartContext,
        *,
        message_id: str | None = None,
        id_conflict: IdConflict = "return",
        at: float | None = None,
        after: float | None = None,
        signal: str = "",
        payload: msgspec.Raw = NOTHING,
    ) -> str:
        """Put the start of a saga into the inbox, as a foreign client does. Return the id of the message.

        `at` is in seconds since the epoch, `after` in seconds from the arrival of the message at the server.

        The start is durable when this returns, and a worker judges it later: an input that does not fit, or that
        differs from the input of an earlier start, becomes a dead letter. Raises InvalidName, InvalidId, InvalidInput.
        """
        if not is_name(address.saga_type):
            raise InvalidInput(f"{address.saga_type!r} is not the name of a saga type")
        check_id(address.saga_id)
        given = checked_context(context)
        id = checked_message_id(message_id or new_id())
        request = InboxRequest(
            kind="start",
            input=input,
            correlation_id=given.correlation_id,
            causation_id=given.causation_id,
            trace=given.trace,
            attributes=given.attributes,
            id_conflict=id_conflict,
            at=at,
            after=after,
            signal=signal,
            payload=payload,
        )
        await self._worker.requests.send(address, id, sealed_request(self.runtime.payloads, address, request))
        return id

    async def delete(self, key: str, run: str) -> None:
        """Delete what is kept of an ended saga, as `Runtime.delete` does. Another life of its id stays."""
        await forget(self._store, self._worker.sagas, self._worker.requests, key, run=run)

    async def rebuild(
        self, *, by: str, why: str, until: float | None = None, dry_run: bool = False
    ) -> Sequence[RebuiltSaga]:
        """Restore lost records from the events. See `restoring.rebuild`. Raises NotAllowed while workers live."""
        ttl = self._worker.environment.config.archive_ttl
        return await rebuild(self._store, by=by, why=why, until=until, archive_ttl=ttl, dry_run=dry_run)

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        """Remove large values that nothing has named for long, as the workers do. Raises StoreError.

        With `dry_run` only look. Takes 50 ms for each value.
        """
        return await sweep(self._store, dry_run=dry_run)

    async def store_copy(self, record: Record, events: Sequence[CloudEvent]) -> bool:
        """Store a copy of a saga and its events; return False if something is stored under its key. See `copies`."""
        key = str(SagaKey(record.saga_type, record.saga_id))
        return await store_copy(self._store, *await self._worker.large_values.stored(key, record, events))

    async def unserved(self, saga_type: str) -> str:
        """Return the words for a start of a type that no live worker has; empty if one has it, or it is not known."""
        if self.wire is None:
            return ""
        ttl = self._worker.environment.config.lease_ttl
        return await FleetView(self.wire, Lookup(self.wire, self.names), ttl=ttl).unserved(saga_type)

    async def workers(self) -> Sequence[LiveLease]:
        """Return the leases of all workers, by name, each with the answer to whether the worker still listens."""
        leases = sorted(await read_leases(self._store), key=lambda lease: (lease.name, lease.worker))
        listening: dict[str, bool] = {}

        async def ask(worker_id: str) -> None:
            with suppress(StoreError):  # then it is not known
                listening[worker_id] = await answers(self._store, worker_id, within=ANSWERS_WITHIN)

        async with trio.open_nursery() as nursery:
            for lease in leases:
                nursery.start_soon(ask, lease.worker)
        return [LiveLease(lease, listening.get(lease.worker)) for lease in leases]


@asynccontextmanager
async def open_plain(url: str, config: Config, payloads: Payloads = PLAIN_PAYLOADS) -> AsyncIterator[PlainAccess]:
    """Open the sagas at `url` in this trio program, which becomes no worker: it starts and takes over nothing.

    The number of shards is the one that the buckets were made with, whatever the `config` says. Raises the errors of
    `open_runtime`.
    """
    with bare_errors():
        async with open_worker(
            url, sagas=[], config=config, adopt=False, shards_as_made=True, payloads=payloads
        ) as worker:
            try:
                yield PlainAccess(worker)
            finally:
                worker.closed = True
