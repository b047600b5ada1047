"""The port of the inbox: the work queue of messages that reach sagas from outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from sagakit.errors import StoreError
from sagakit.store.names import Channel, SagaKey


class Acknowledger(Protocol):
    """The answers that a worker can give to a message that it was handed. Each is sent without waiting."""

    def ack(self) -> None:
        """Say that the message is done with."""
        ...

    def extend(self) -> None:
        """Say that work on the message goes on: it stays with this worker for another ACK_WAIT seconds."""
        ...

    def defer(self, seconds: float) -> None:
        """Give the message back; it comes again, to any worker, after so many seconds."""
        ...


class InboundMessage(msgspec.Struct, frozen=True):
    """A message of the inbox, not yet acknowledged; it comes again unless it is extended or acknowledged in time.

    `id` is the message's own, without the saga's key. `fault` says why its subject is not the address of a saga.
    `position` grows from message to message. `since` is when the server first stored the message, in seconds since the
    epoch by the server's clock; parking keeps it. `headers` is the block of headers as it came.
    """

    id: str
    channel: Channel
    saga_type: str
    saga_id: str
    position: int
    payload: bytes
    since: float
    subject: str
    acknowledger: Acknowledger
    parked: bool = False
    headers: bytes = b""
    fault: str = ""

    @property
    def address(self) -> SagaKey:
        """The saga that the message is for."""
        return SagaKey(self.saga_type, self.saga_id)


class Parking(NamedTuple):
    """A message that has to wait: a `start` for room, any other one for an owner."""

    message: InboundMessage
    start: bool


class Burial(NamedTuple):
    """A message that can never be applied, and why. `code` names the kind of the reason: the class of the error."""

    message: InboundMessage
    reason: str
    code: str


Source: TypeAlias = Literal["new", "parked", "parked starts"]
"""The three queues of one type: new messages; messages that wait for an owner; starts that wait for room.

They are separate so that none of them can hold up another.
"""

ACK_WAIT = 4.0
"""Seconds after which a message that is neither acknowledged nor extended comes again."""
UNKNOWN_TYPE_FOR = 600.0
"""Seconds that messages wait for the first worker that knows their type."""
HEADERS_LIMIT = 10 * 1_024
"""Bytes that a parked or buried message may have for its own headers, within `max_payload`."""
DUPLICATES = 30.0
"""Seconds for which the inbox drops a message with an id that it already has."""


class Inbox(Protocol):
    """The work queue of messages that reach sagas from outside."""

    async def send(self, channel: Channel, *, id: str, saga_type: str, saga_id: str, payload: bytes) -> None:
        """Append a message, which is durable once this returns.

        The same `id` for the same saga again within DUPLICATES seconds is dropped. A message over `system` is never
        dropped, since its receiver applies it once.

        Raises Unavailable, Ambiguous, StoreFull, TooLarge.
        """
        ...

    async def check_only_ours(self) -> None:
        """Raise OtherDomain if a stream of another JetStream domain stores the same messages, too.

        A worker calls it when it opens. Raises Unavailable.
        """
        ...

    def receive(self, saga_type: str, source: Source) -> AbstractAsyncContextManager[AsyncIterator[InboundMessage]]:
        """Open the messages of one type as a stream; all workers that know the type share them.

        The stream goes on across outages. It asks for a page when the one before has been taken. When the context
        closes, messages that were fetched and not taken are given back.
        """
        ...

    async def park(self, parkings: Sequence[Parking]) -> Sequence[StoreError | None]:
        """Move messages to the queue of those that wait for an owner, and starts to those that wait for room.

        The copy is durable before the message is acknowledged, so that a crash leaves two copies rather than none.
        Return the error of each, or None.
        """
        ...

    async def bury(self, burials: Sequence[Burial], *, by: str) -> Sequence[StoreError | None]:
        """Keep messages as dead letters, with their reasons and the worker that gave them up.

        The dead letter is durable before the message is acknowledged. Return the error of each, or None.
        """
        ...

    async def start_waits(self, key: SagaKey, *, anywhere: bool = False) -> bool:
        """Return True if a start of a saga is still in the inbox. Raises Unavailable, Ambiguous.

        A start that came after several other messages may be missed, or one that is parked just now. With `anywhere`
        none is missed, however many messages have to be read.
        """
        ...

    async def reply_waits(self, key: SagaKey, service: str, *, or_heartbeat: bool = False) -> bool:
        """Return True if a reply of a service to one saga is still in the inbox, or perhaps a heartbeat.

        Raises Unavailable, Ambiguous.
        """
        ...

    async def any_start(self, saga_type: str) -> bool:
        """Return True if a start of any saga of this type is in the inbox. Raises Unavailable, Ambiguous."""
        ...

    def backlog(self) -> Mapping[tuple[str, Source], int]:
        """Return the messages that are not done with, by type and queue, as the last `strays` has seen them."""
        ...

    async def dead_commands(self) -> Mapping[str, int]:
        """Return how many dead letters of participants are kept, by service. Raises StoreError."""
        ...

    def age(self, message: InboundMessage) -> float:
        """Return the seconds since the server first stored a message, by the server's clock."""
        ...

    def strays(self) -> AsyncGenerator[InboundMessage]:
        """Yield messages that no worker's `receive` covers. Raises StoreError.

        These are messages whose subject is not the address of a saga, and messages that have waited UNKNOWN_TYPE_FOR
        seconds for a type that no worker has ever known. The first message of each such subject comes in any case.
        """
        ...
