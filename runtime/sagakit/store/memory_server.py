"""The server in memory: the durable side of the store in memory. It outlives those who are connected to it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

import trio

from sagakit.errors import Conflict, StoreFull
from sagakit.store.faults import StoreFaults
from sagakit.store.names import Channel
from sagakit.store.ports import Deletion, Entry, EventMessage, InboundMessage, Write

MAX_PAYLOAD = 2**20


class _Value:
    """What stands under a key. `value` None is a delete marker."""

    __slots__ = ("expires", "revision", "value")

    def __init__(self, value: bytes | None, revision: int, expires: float | None) -> None:
        self.value = value
        self.revision = revision
        self.expires = expires


class MemoryBucket:
    """One bucket's data."""

    def __init__(self) -> None:
        self._values: dict[str, _Value] = {}
        self.last_revision: int = 0
        self._watchers: list[tuple[str, trio.MemorySendChannel[Entry]]] = []
        self.ttl: float | None = None
        self.max_bytes: int | None = None

    @property
    def bytes(self) -> int:
        """What all that is there takes up."""
        return sum(_size(key, found.value) for key in list(self._values) if (found := self._standing(key)) is not None)

    def _standing(self, key: str) -> _Value | None:
        found = self._values.get(key)
        if found is not None and found.expires is not None and found.expires <= trio.current_time():
            del self._values[key]
            return None
        return found

    def write(self, write: Write, *, delete: bool = False) -> int:
        """Apply a write at once. Raises Conflict, StoreFull."""
        standing = self._standing(write.key)
        if write.expected is not None and (standing.revision if standing else 0) != write.expected:
            raise Conflict(write.key, write.expected)
        self._check_room(write, standing)
        self.last_revision += 1
        ttl = self.ttl if write.ttl is None else write.ttl
        expires = None if ttl is None else trio.current_time() + ttl
        self._values[write.key] = _Value(None if delete else write.value, self.last_revision, expires)
        if not delete:
            self._tell(Entry(write.key, write.value, self.last_revision))
        return self.last_revision

    def _check_room(self, write: Write, standing: _Value | None) -> None:
        """As a nats-server does: in a full bucket a value may give way to a smaller one."""
        if self.max_bytes is None:
            return
        size = _size(write.key, write.value)
        smaller = standing is not None and size <= _size(write.key, standing.value)
        if not smaller and self.bytes + size > self.max_bytes:
            raise StoreFull(f"{write.key}: the server is full (maximum bytes exceeded)")

    def read(self, key: str) -> Entry | None:
        """What a leader read answers."""
        found = self._standing(key)
        return None if found is None or found.value is None else Entry(key, found.value, found.revision)

    def deletion(self, key: str) -> Deletion | None:
        """What a deletion has left; the store in memory knows no time of day."""
        found = self._standing(key)
        return None if found is None or found.value is not None else Deletion("DEL", found.revision, "an unknown time")

    def purge(self, key: str, revision: int | None = None) -> None:
        """Remove every trace, but for what is newer."""
        found = self._values.get(key)
        if found is not None and (revision is None or found.revision <= revision):
            del self._values[key]

    def entries(self, prefix: str, *, after: int = 0) -> list[Entry]:
        """All entries whose first token is `prefix`, or all; of those the ones of a later revision than `after`."""
        first = 0 if after > self.last_revision else after
        later = [key for key, value in self._values.items() if value.revision > first]
        keys = [key for key in later if not prefix or key.startswith(prefix + ".")]
        return [entry for key in keys if (entry := self.read(key)) is not None]

    def watch(self, prefix: str, send: trio.MemorySendChannel[Entry]) -> Callable[[], None]:
        """Tell `send` of later changes; returns how to end that."""
        watcher = (prefix, send)
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _tell(self, entry: Entry) -> None:
        for prefix, send in self._watchers:
            if not prefix or entry.key.startswith(prefix + "."):
                send.send_nowait(entry)


def _size(key: str, value: bytes | None) -> int:
    return len(key) + len(value or b"")


class Queued:
    """An inbound message on the server. `parked` is "" for one that is new; a parked one keeps what it was."""

    def __init__(
        self,
        id: str,
        saga_type: str,
        saga_id: str,
        payload: bytes,
        position: int,
        *,
        channel: Channel = "client",
        parked: Literal["", "parked", "parked starts"] = "",
        since: float = 0.0,
    ) -> None:
        self.position = position
        self.id = id
        self.saga_type = saga_type
        self.saga_id = saga_id
        self.payload = payload
        self.channel: Channel = channel
        self.parked = parked
        self.since = since
        self.again_at: float = 0.0


class DeadLetter(NamedTuple):
    """A message that can never be applied, and why."""

    message: InboundMessage
    reason: str
    by: str


class MemoryClock:
    """The port is `Clock`: starts at the time of day and goes as trio's clock does, so that virtual time moves it."""

    skew: float = 0.0

    def __init__(self, clock: trio.abc.Clock) -> None:
        self.clock: trio.abc.Clock = clock
        self._start = time.time() - clock.current_time()

    def now(self) -> float:
        """The server's time."""
        return self._start + self.clock.current_time()

    async def until_set(self) -> None:
        """It never is."""
        await trio.sleep_forever()


class MemoryServer:
    """The durable side. One a test; several stores may be connected to it."""

    def __init__(self, *, max_payload: int = MAX_PAYLOAD) -> None:
        self.max_payload: int = max_payload
        self.faults: StoreFaults = StoreFaults()
        self.events: list[EventMessage] = []
        self._event_ids: dict[str, int] = {}
        self._buckets: dict[str, MemoryBucket] = {}
        self.inbox: list[Queued] = []
        self.inbox_ids: dict[str, float] = {}
        """The ids that were sent, each with the time until which it is not stored again."""
        self.inbox_position: int = 0
        self.dead: list[DeadLetter] = []
        self.inbox_changed: trio.lowlevel.ParkingLot = trio.lowlevel.ParkingLot()
        self.handlers: dict[str, Callable[[bytes], Awaitable[bytes]]] = {}
        self.listeners: list[tuple[frozenset[str], Callable[[str], None]]] = []
        self._clock: MemoryClock | None = None

    def clock(self) -> MemoryClock:
        """The one clock of all stores that this trio program opens."""
        trios = trio.lowlevel.current_clock()
        if self._clock is None or self._clock.clock is not trios:
            self._clock = MemoryClock(trios)
        return self._clock

    def bucket(self, name: str) -> MemoryBucket:
        """The bucket of that name, made when first asked for."""
        return self._buckets.setdefault(name, MemoryBucket())

    def limit(self, name: str, max_bytes: int | None) -> None:
        """Make a bucket that may hold so many bytes; one that is there stays as it is."""
        if name not in self._buckets:
            self.bucket(name).max_bytes = max_bytes

    def append(self, message: EventMessage) -> int:
        """Add an event; a known id is not added again."""
        if message.id not in self._event_ids:
            self.events.append(message)
            self._event_ids[message.id] = len(self.events)
        return self._event_ids[message.id]
