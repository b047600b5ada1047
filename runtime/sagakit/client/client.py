"""`Client`: starts sagas, sees them and helps them, and runs none. `open_client` makes one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any, Unpack, overload

import msgspec
from typing_extensions import TypeVar

from sagakit.client.burials import Burials
from sagakit.client.changes import Changes
from sagakit.client.client_starts import ClientStartOptions, ClientStarts, SentStart
from sagakit.client.command_sending import CommandSender
from sagakit.client.description import Description, described
from sagakit.client.fleet_view import FleetView
from sagakit.client.handle import Handle
from sagakit.client.letters import Letters
from sagakit.client.lookup import Lookup
from sagakit.client.messenger import Messenger
from sagakit.client.misuse import VERBS_OF_A_HANDLE, elsewhere
from sagakit.client.record_waits import RecordWaits
from sagakit.client.refusals import check_taken
from sagakit.client.rights import missing_rights
from sagakit.client.saga_type import SagaType
from sagakit.client.signal_sending import send_signal
from sagakit.client.start_options import StartOptions
from sagakit.client.step_wait import check_step, has_passed, step_of_wait
from sagakit.client.verbs import as_payload, signal_name
from sagakit.client.watching import SagaEvent, watching
from sagakit.definition import Outcome, Plan, Saga, SagaSchema, Signal, compiled
from sagakit.definition.payloads import Payloads
from sagakit.engine import ENDS, InboundKind, Record, SagaStatus
from sagakit.engine.record import NOTHING
from sagakit.errors import InvalidInput, NoWorker
from sagakit.jetstream.whereabouts import context_left
from sagakit.messages.sealing import message_of, sealed_payload
from sagakit.messages.validation import check_id
from sagakit.repository import SagaRepository
from sagakit.repository.listing import History, Page
from sagakit.repository.wanted import wanted_of
from sagakit.store.names import Names, SagaKey
from sagakit.store.permissions import Grant, Role
from sagakit.store.ports import Wire
from sagakit.times import Moment

D = TypeVar("D")
T = TypeVar("T", default=None)
W = TypeVar("W", default=Any)


@elsewhere(VERBS_OF_A_HANDLE)
class Client:
    """A client as a program uses it: no worker, so it starts, sees and helps sagas of any worker. See `open_client`.

        async with sagakit.asyncio.open_client("nats://localhost") as client:
            handle = await client.start(PlaceOrder, "order-7", order)
            print(await handle.outcome())

    It takes saga classes, never instances. A tool without the classes passes a type's name instead, and gives and gets
    plain JSON values. The methods have the names, arguments and errors of `Runtime`. They are for tasks of the program
    that opened the client. They wait while JetStream is away; cancelling a wait leaves the saga alone.
    """

    def __init__(
        self,
        wire: Wire,
        names: Names,
        payloads: Payloads,
        *,
        ttl: float,
        check: Callable[[], None],
        claim_above: int | None = None,
    ) -> None:
        self.payloads: Payloads = payloads
        """The way of values into records and messages, and back."""
        self._wire = wire
        self._names = names
        self._check = check
        self._lookup = Lookup(wire, names)
        self.repository: SagaRepository = SagaRepository(self._lookup.reading)
        """The stored sagas, for tools that read many. Its methods do not wait through an outage."""
        self.dead_letters: Letters = Letters(wire, names)
        """The messages that no worker could ever apply. Changing them takes the role operator."""
        self.commands: CommandSender = CommandSender(wire, names, self._lookup)
        """The sender of commands to the runtime's own stream."""
        self._changes = Changes(wire, names)
        self._burials = Burials(wire, names)
        self.fleet: FleetView = FleetView(wire, self._lookup, ttl=ttl)
        """The workers, by their leases, for tools that look at many sagas."""
        self._messenger = Messenger(wire, names, self._lookup, self._changes, self._burials, self.fleet)
        self._starts = ClientStarts(self, wire, self._lookup, self._messenger, claim_above)
        self._waits = RecordWaits(wire, self._changes, self.fleet, self._starts.record)
        self._closed = False

    # ------------------------------------------------------------- starting

    @overload
    async def start(
        self, saga: type[Saga[D, T]], id: str | None, input: D, **options: Unpack[StartOptions]
    ) -> Handle[T]: ...

    @overload  # beside the first one, which is the protocol's
    async def start(
        self, saga: type[Saga[D, T]], id: str | None, input: D, **options: Unpack[ClientStartOptions]
    ) -> Handle[T]: ...

    @overload
    async def start(
        self, saga: str, id: str | None, input: object, **options: Unpack[ClientStartOptions]
    ) -> Handle[Any]: ...

    async def start(
        self, saga: type[Saga[Any, Any]] | str, id: str | None, input: object, **options: Unpack[ClientStartOptions]
    ) -> Handle[Any]:
        """Start a saga on any worker, by one message. Return a handle on it. `ClientStartOptions` has the options.

        `wait` says when this returns: "durable", once JetStream has the message; "started", once a worker has started
        the saga; "step:charge", once its step `charge` is done or skipped, or the saga has turned back or ended before
        that; "ended", once the saga has ended. A start with the id and input of a saga that exists returns that
        saga (P10), so it may be repeated. If the start is refused after this has returned, the methods of the handle
        raise the reason.

        Raises InvalidId, InvalidInput, InputTooLarge, AlreadyStarted, StoreFull.
        """
        self._check_open()
        wait = options.pop("wait", "durable")
        of, step = SagaType.of(saga, self.payloads), step_of_wait(wait)
        if step and of.definition is not None:
            check_step(of.name, step, of.definition.plan.by_name)
        sent = await self._starts.send(of, id, input, options)
        if sent.pending is not None and wait == "started":
            await sent.pending.reach()
        handle = self._handle(of, sent)
        if wait == "ended":
            await handle.wait()
        elif step:
            await self._until_passed(of, handle.key, step)
        return handle

    async def _until_passed(self, of: SagaType, key: str, step: str) -> None:
        if of.definition is None:
            plan = await self._lookup.plan_of(await self.record(key))
            if plan is not None:
                check_step(of.name, step, plan.by_name)
        await self._waits.until(key, partial(has_passed, step=step), halted=False)

    def _handle(self, of: SagaType, sent: SentStart) -> Handle[Any]:
        return Handle(sent.pending or self, of.saga, sent.address.saga_id, str(sent.address))

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

        Return once the saga has the signal. Options and errors are those of `Runtime.start_with_signal`.
        """
        self._check_open()
        of, name = SagaType.of(saga, self.payloads), signal_name(saga, compiled(saga).plan, signal)
        value = sealed_payload(of.payloads, self._key(saga, id), name, as_payload(of.definition, name, payload))
        sent = await self._starts.send(of, id, input, options, signal=name, payload=value)
        if sent.pending is not None:
            await sent.pending.reach()
        assert sent.signal is not None
        key = str(sent.address)
        verdict = await self._messenger.apply(key, sent.signal)  # in the record already, if the start has brought it
        await check_taken(self, key, "signal", name, verdict)
        return self._handle(of, sent)

    @overload
    async def execute(self, saga: type[Saga[D, T]], id: str | None, input: D) -> Outcome[T]: ...

    @overload
    async def execute(self, saga: str, id: str | None, input: object) -> Outcome[Any]: ...

    async def execute(self, saga: Any, id: str | None, input: Any) -> Outcome[Any]:
        """Start a saga, wait for its end and return its outcome, as `start` and `Handle.outcome` do."""
        return await (await self.start(saga, id, input)).outcome()

    # -------------------------------------------------------------- looking

    @overload
    async def get(self, saga: type[Saga[D, T]], id: str) -> Handle[T]: ...

    @overload
    async def get(self, saga: str, id: str) -> Handle[Any]: ...

    async def get(self, saga: type[Saga[Any, Any]] | str, id: str) -> Handle[Any]:
        """Return a handle on a saga that was started before, on any worker. Raises UnknownSaga."""
        key = self._key(saga, id)
        await self.record(key)
        return Handle(self, saga, id, key)

    async def load(self, saga: type[Saga[D, T]] | str, id: str) -> Record:
        """Return the last durable record of a saga, from the leader. Raises UnknownSaga, Undecodable."""
        return await self.record(self._key(saga, id))

    async def record(self, key: str) -> Record:
        """Return the last durable record under a key (`Handle.key`). Raises UnknownSaga, Undecodable."""
        self._check_open()
        return await self._lookup.filled(key, await self._starts.record(key))

    async def ended(self, key: str, *, or_stuck: bool = False) -> Record:
        """Wait until a saga has ended, or with `or_stuck` until it is stuck, and return its last record.

        The end is pushed: this returns within milliseconds of it. Raises UnknownSaga, NoWorker, Undecodable.
        """
        self._check_open()
        ended = await self._waits.until(
            key, lambda record: record.status in ENDS or (or_stuck and record.status == "stuck"), halted=True
        )
        return await self._lookup.filled(key, ended)

    async def wait_any(self, *handles: Handle[Any]) -> Handle[Any]:
        """Wait until one of several sagas has ended, and return its handle. Raises InvalidInput for no handles."""
        if not handles:
            raise InvalidInput("wait_any() of no handles would wait forever: pass at least one")
        ended: list[Handle[Any]] = []

        async def wait(handle: Handle[Any]) -> None:
            await handle.wait()
            ended.append(handle)
            raise _OneEnded

        with suppress(_OneEnded):
            await self._wire.together(*(partial(wait, handle) for handle in handles))
        return ended[0]

    async def list(
        self,
        *,
        status: SagaStatus | None = None,
        type: type[Saga[Any, Any]] | str | None = None,
        attributes: Mapping[str, str] | None = None,
        created_after: Moment | None = None,
        created_before: Moment | None = None,
        where: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """Return the sagas that match, as `Runtime.list` does. Raises InvalidInput, StoreError."""
        self._check_open()
        wanted = wanted_of(
            types=None if type is None else [SagaType.of(type).name],
            status=status,
            attributes=attributes,
            created_after=created_after,
            created_before=created_before,
            where=where,
            now=await self.now(),
        )
        return await self._lookup.patiently(partial(self.repository.list, wanted, limit=limit, cursor=cursor))

    async def history(self, saga: type[Saga[D, T]] | str, id: str) -> History:
        """Return the last record of a saga and its events in order, as `Runtime.history` does."""
        found = await self._lookup.patiently(partial(self.repository.history, await self.load(saga, id)))
        return await self._lookup.filled_history(self._key(saga, id), found)

    async def describe(self, saga: type[Saga[D, T]] | str, id: str) -> Description:
        """Return one saga for people to read, as `Runtime.describe` does. `print` shows it."""
        found = await self.history(saga, id)
        try:
            await self.fleet.check_runs(found.record)
            note = ""
        except NoWorker as error:
            note = str(error)
        plan = await self._lookup.plan_of(found.record)
        of, payloads = SagaType.of(saga).definition, self.payloads
        return described(found.record, found.events, of, note, {}, plan=plan, payloads=payloads)

    async def schemas(self) -> Mapping[str, SagaSchema]:
        """Return the JSON Schemas of each type of saga by its name: those of the newest version that a worker has had.

        They are what `Saga.schema()` of the class returns. Raises StoreError.
        """
        self._check_open()
        return await self._lookup.schemas()

    async def plan_of(self, record: Record) -> Plan | None:
        """Return the plan that the workers keep of a saga's version; None if it is gone or cannot be read."""
        self._check_open()
        return await self._lookup.plan_of(record)

    async def now(self) -> float:
        """Return the server's time, in seconds since the epoch."""
        self._check_open()
        return await self._lookup.patiently(self._lookup.reading.now)

    def watch(
        self, saga: type[Saga[Any, Any]] | str | None = None, id: str | None = None, *, after: str | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[SagaEvent]]:
        """Open the events of one saga, of a type or of all types as a stream: in order, each once, until it is left.

            async with client.watch(PlaceOrder) as events:
                async for event in events:
                    print(event.type, event.saga_id, event.position)

        It begins with the next event. `after="start"` begins with the first that is kept, a `position` after its event.
        After an outage it goes on where it was. Raises InvalidInput.
        """
        self._check_open()
        saga_type = None if saga is None else SagaType.of(saga).name
        if saga_type is None and id is not None:
            raise InvalidInput(f"watch(id={id!r}): say which type of saga, too")
        saga_id = None if id is None else check_id(id)
        return watching(self._wire, self._names, saga_type, saga_id, self.payloads, after=after)

    # ------------------------------------------------------------- changing

    async def signal(
        self,
        saga: type[Saga[Any, Any]] | str,
        id: str,
        signal: Signal[W, Any] | str,
        payload: W,
        *,
        reason: str = "",
        by: str = "",
        message_id: str | None = None,
    ) -> None:
        """Send a signal to a saga, and return once the saga has it. Repetition and errors as for `Runtime.signal`."""
        of, key = SagaType.of(saga), self._key(saga, id)
        await send_signal(self, saga, key, of.definition, signal, payload, message_id, reason=reason, by=by)

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
        """Have a message applied and return its verdict when that is durable. The verbs of a `Handle` call this.

        It is for the life of the id that is stored now. Raises UnknownSaga, InvalidInput, NoWorker, NotPermitted.
        """
        self._check_open()
        message = message_of(self.payloads, key, kind, reason=reason, by=by, step=step, payload=payload, id=id)
        return await self._starts.stored(key, partial(self._messenger.apply, key, message))

    async def compensate(self, saga: type[Saga[D, T]] | str, id: str, reason: str = "") -> None:
        """Request that a saga is undone: the same as `cancel` of its handle."""
        await (await self.get(saga, id)).cancel(reason)

    # ------------------------------------------------------------ the client

    @property
    def wire(self) -> Wire:
        """The connection itself, for jobs."""
        return self._wire

    @property
    def names(self) -> Names:
        """The names on the wire."""
        return self._names

    async def check(self, role: Role = "client") -> Sequence[Grant]:
        """Return the permissions of a role that this account does not have: none, if all is well.

        Each is tried by a request that changes nothing. Roles are those of docs/permissions.md.
        """
        self._check_open()
        return await missing_rights(self._wire, self._names, role)

    async def keep(self) -> None:
        """Look after the waits of all tasks, until cancelled. The one who opens the client runs it."""
        await self._changes.keep()

    def close(self) -> None:
        """Refuse all further calls, and end the waits."""
        self._closed = True
        self._changes.close()

    def _check_open(self) -> None:
        self._check()
        if self._closed:
            raise context_left("client")

    def _key(self, saga: type[Saga[Any, Any]] | str, id: str) -> str:
        self._check_open()
        return str(SagaKey(SagaType.of(saga).name, check_id(id)))


class _OneEnded(Exception):
    """The end of the wait for one of several sagas."""
