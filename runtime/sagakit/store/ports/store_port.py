"""The port of the store as a whole: its buckets and streams, its connection, its clock, and the control messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sagakit.store.names import Names
from sagakit.store.ports.bucket_port import BucketUsage, KeyValue
from sagakit.store.ports.command_port import CommandQueue
from sagakit.store.ports.event_port import EventLog
from sagakit.store.ports.inbox_port import Inbox
from sagakit.store.ports.reading_port import StoreReading


class Control(Protocol):
    """Requests and replies between workers and clients; none of them is durable."""

    async def request(self, worker_id: str, payload: bytes, *, timeout: float) -> bytes:
        """Ask a worker, and return its answer.

        Raises NoResponders when nobody listens, Ambiguous after `timeout` seconds, Unavailable.
        """
        ...

    def serve(self, worker_id: str, handler: Callable[[bytes], Awaitable[bytes]]) -> AbstractAsyncContextManager[None]:
        """Answer requests to `worker_id` while the context is open; serving goes on across reconnects."""
        ...

    def announce(self, saga_types: Sequence[str], worker_id: str) -> None:
        """Tell the workers that know any of these types that sagas of `worker_id` may be free to be adopted."""
        ...

    def announced(self, saga_types: Sequence[str], heard: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """Call `heard` with each worker that is announced for these types, while the context is open.

        A hint only: an announcement may be lost, and scans find the sagas anyway.
        """
        ...


class Clock(Protocol):
    """The server's wall clock, as this process knows it. All times of sagas are its times. Any thread may use it.

    The clocks of two machines are never compared, so that a time from one worker is valid on every other.
    """

    def now(self) -> float:
        """Return the seconds since the epoch. They run back only if the server's clock was set back by 1 s or more."""
        ...

    @property
    def skew(self) -> float:
        """Seconds by which this machine's own wall clock is ahead of the server's; negative if it is behind."""
        ...

    async def until_set(self) -> None:
        """Return when the clock is corrected the next time: a task that waits for a time then looks again.

        For tasks in the trio thread.
        """
        ...


class Store(Protocol):
    """An open store, with its buckets and streams in place. For the trio thread, except for its clock."""

    @property
    def names(self) -> Names:
        """The names of its buckets, streams and subjects."""
        ...

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        ...

    @property
    def clustered(self) -> bool:
        """True if several servers keep the store and elect leaders."""
        ...

    @property
    def state(self) -> KeyValue:
        """The bucket of live records and end markers."""
        ...

    @property
    def archive(self) -> KeyValue:
        """The bucket of finished records."""
        ...

    @property
    def meta(self) -> KeyValue:
        """The bucket of the layout, and of plans and schemas by type and version."""
        ...

    @property
    def values(self) -> KeyValue:
        """The bucket of the large values. A layout that an older version has made has none."""
        ...

    async def check_values(self) -> None:
        """Check that there is a bucket of large values. Raises LayoutMissing, Unavailable, Ambiguous."""
        ...

    @property
    def workers(self) -> KeyValue:
        """The bucket of leases, by worker id."""
        ...

    @property
    def events(self) -> EventLog:
        """The log of published events."""
        ...

    @property
    def reading(self) -> StoreReading:
        """The streams of the store, for the repository."""
        ...

    @property
    def commands(self) -> CommandQueue:
        """The queue of commands to participants."""
        ...

    @property
    def inbox(self) -> Inbox:
        """The queue of messages to sagas."""
        ...

    @property
    def control(self) -> Control:
        """The requests between workers and clients."""
        ...

    @property
    def clock(self) -> Clock:
        """The server's wall clock."""
        ...

    @property
    def connected(self) -> bool:
        """True while requests have a chance. A disconnect is a state, not an error."""
        ...

    @property
    def messages_sent(self) -> int:
        """The number of messages sent to the server over this connection so far."""
        ...

    async def complete_layout(self) -> None:
        """Add what a layout lacks that an older version has made. For `sagakit setup`: workers may not change streams.

        Raises BadBucket, StoreError.
        """
        ...

    async def account_usage(self) -> BucketUsage | None:
        """Ask how much storage all buckets and streams of the account use together; None if it has no limit.

        Raises Unavailable, Ambiguous.
        """
        ...

    @property
    def reconnected_at(self) -> float:
        """The moment of the last reconnect, in trio's time; -inf if the connection was never lost."""
        ...

    @property
    def reconnects(self) -> int:
        """Number of times that the connection was lost and came back."""
        ...

    async def until_connected(self) -> None:
        """Return when `connected` is true; at once if it is."""
        ...

    async def until_reconnected(self, since: float) -> None:
        """Return when the connection has come back after `since` (trio's time)."""
        ...

    async def until_room(self) -> None:
        """Return when unacknowledged messages and bytes are below the window: back pressure for callers of `submit`."""
        ...
