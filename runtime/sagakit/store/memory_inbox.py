"""The inbox of the store in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from math import inf

import trio

from sagakit.errors import StoreError, Unavailable
from sagakit.store.memory_connection import MemoryConnection
from sagakit.store.memory_server import DeadLetter, Queued
from sagakit.store.names import Channel, Names, SagaKey
from sagakit.store.ports import ACK_WAIT, DUPLICATES, Burial, InboundMessage, Parking, Source
from sagakit.store.starting import is_heartbeat, is_start


class MemoryInbox:
    """The inbox in memory; implements the port `Inbox`."""

    def __init__(self, connection: MemoryConnection, names: Names) -> None:
        self._connection = connection
        self._names = names

    async def send(self, channel: Channel, *, id: str, saga_type: str, saga_id: str, payload: bytes) -> None:
        """Append a message, unless one with this id for this saga came within the last DUPLICATES seconds."""
        await self._reached()
        server, now = self._connection.server, trio.current_time()
        wire_id = f"{SagaKey(saga_type, saga_id)}/{id}"
        if channel != "system":
            if server.inbox_ids.get(wire_id, -inf) > now:
                return
            server.inbox_ids[wire_id] = now + DUPLICATES
        self._append(Queued(id, saga_type, saga_id, payload, 0, channel=channel, since=now))

    async def check_only_ours(self) -> None:
        """Return: a server in memory has no other domains."""
        await trio.lowlevel.checkpoint()

    @asynccontextmanager
    async def receive(self, saga_type: str, source: Source) -> AsyncIterator[AsyncIterator[InboundMessage]]:
        """Open the messages of one type as a stream."""
        async with aclosing(self._messages(saga_type, "" if source == "new" else source)) as messages:
            yield messages

    async def park(self, parkings: Sequence[Parking]) -> Sequence[StoreError | None]:
        """Append copies to the queues of waiting messages, then acknowledge the messages."""
        await trio.lowlevel.checkpoint()
        return [self._park(message, start) for message, start in parkings]

    def _park(self, message: InboundMessage, start: bool) -> StoreError | None:
        if self._connection.away:
            return Unavailable("disconnected")
        self._append(
            Queued(
                message.id,
                message.saga_type,
                message.saga_id,
                message.payload,
                0,
                channel=message.channel,
                parked="parked starts" if start else "parked",
                since=message.since,
            )
        )
        message.acknowledger.ack()
        return None

    async def bury(self, burials: Sequence[Burial], *, by: str) -> Sequence[StoreError | None]:
        """Keep messages as dead letters, then acknowledge them."""
        await trio.lowlevel.checkpoint()
        return [self._bury(burial, by) for burial in burials]

    def _bury(self, burial: Burial, by: str) -> StoreError | None:
        if self._connection.away:
            return Unavailable("disconnected")
        message, reason, code = burial
        self._connection.server.dead.append(DeadLetter(message, reason, by, code))
        message.acknowledger.ack()
        return None

    async def start_waits(self, key: SagaKey, *, anywhere: bool = False) -> bool:
        """Return True if a start of the same saga is in the inbox."""
        await self._reached()
        same = [one for one in self._connection.server.inbox if SagaKey(one.saga_type, one.saga_id) == key]
        return any(is_start(one.payload) for one in same)

    async def reply_waits(self, key: SagaKey, service: str, *, or_heartbeat: bool = False) -> bool:
        """Return True if a reply to the saga is in the inbox; a queue in memory does not say of which service."""
        await self._reached()
        found = [one for one in self._connection.server.inbox if one.channel == "reply"]
        mine = [one for one in found if SagaKey(one.saga_type, one.saga_id) == key]
        return any(or_heartbeat or not is_heartbeat(one.payload) for one in mine)

    async def any_start(self, saga_type: str) -> bool:
        """Return True if a start of any saga of the type is in the inbox."""
        await self._reached()
        return any(is_start(one.payload) for one in self._connection.server.inbox if one.saga_type == saga_type)

    async def strays(self) -> AsyncGenerator[InboundMessage]:
        """Yield nothing: messages in memory have no subject, so that each of them leads to a saga."""
        await self._reached()
        nothing: tuple[InboundMessage, ...] = ()
        for message in nothing:
            yield message

    async def dead_commands(self) -> dict[str, int]:
        """Return nothing: a participant needs a server."""
        await self._reached()
        return {}

    def backlog(self) -> dict[tuple[str, Source], int]:
        """Return the messages that wait, by type and queue, as they are now."""
        found: dict[tuple[str, Source], int] = {}
        for one in tuple(self._connection.server.inbox):
            source: Source = one.parked or "new"
            key = (one.saga_type, source)
            found[key] = found.get(key, 0) + 1
        return found

    def age(self, message: InboundMessage) -> float:
        """Return the seconds since the server stored a message."""
        return trio.current_time() - message.since

    async def _reached(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._connection.away:
            raise Unavailable("disconnected")

    def _append(self, message: Queued) -> None:
        server = self._connection.server
        server.inbox_position += 1
        message.position = server.inbox_position
        server.inbox.append(message)
        server.inbox_changed.unpark_all()

    async def _messages(self, saga_type: str, parked: str) -> AsyncGenerator[InboundMessage]:
        server = self._connection.server
        while not self._connection.cut:
            await server.faults.until_over()
            now = trio.current_time()
            mine = [one for one in server.inbox if one.saga_type == saga_type and one.parked == parked]
            due = [one for one in mine if one.again_at <= now]
            for one in due:
                if one.again_at > trio.current_time() or one not in server.inbox:
                    continue  # another connection took it meanwhile
                one.again_at = trio.current_time() + ACK_WAIT
                yield self._message(one)
            if not due:
                with trio.move_on_at(min((one.again_at for one in mine), default=inf)):
                    await server.inbox_changed.park()
        await trio.sleep_forever()

    def _message(self, one: Queued) -> InboundMessage:
        subject = self._names.inbound_subject(one.channel, SagaKey(one.saga_type, one.saga_id), service="service")
        return InboundMessage(
            one.id,
            one.channel,
            one.saga_type,
            one.saga_id,
            one.position,
            one.payload,
            one.since,
            subject,
            _MemoryAcknowledger(self._connection, one),
            parked=bool(one.parked),
        )


class _MemoryAcknowledger:
    """The answers to one message in memory; implements the port `Acknowledger`."""

    def __init__(self, connection: MemoryConnection, message: Queued) -> None:
        self._connection = connection
        self._message = message

    def ack(self) -> None:
        """Remove the message from the inbox."""
        inbox = self._connection.server.inbox
        if not self._connection.cut and self._message in inbox:
            inbox.remove(self._message)

    def extend(self) -> None:
        """Keep the message away from others for another ACK_WAIT seconds."""
        if not self._connection.away:
            self._message.again_at = trio.current_time() + ACK_WAIT

    def defer(self, seconds: float) -> None:
        """Give the message back; it comes again after so many seconds."""
        if not self._connection.away:
            self._message.again_at = trio.current_time() + seconds
            self._connection.server.inbox_changed.unpark_all()
