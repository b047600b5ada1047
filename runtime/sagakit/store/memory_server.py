"""The server in memory: the durable side of the store in memory. It outlives the stores that are connected to it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

import trio

from sagakit.errors import Conflict, StoreFull
from sagakit.store.faults import StoreFaults
from sagakit.store.names import Channel
from sagakit.store.ports import Deletion, Entry, EventMessage, InboundMessage, StoredValue, Write

MAX_PAYLOAD = 2**20
"""Bytes that one message may have unless a test says otherwise: the default of nats-server."""


class _MemoryValue:
    """The value under a key; None as `value` is a delete marker. `at` and `expires` are in trio's time."""

    __slots__ = ("at", "expires", "revision", "value")

    def __init__(self, value: bytes | None, revision: int, at: float, expires: float | None) -> None:
        self.value = value
        self.revision = revision
        self.at = at
        self.expires = expires


class QueuedCommand(NamedTuple):
    """A command that no participant has taken yet."""

    endpoint: str
    payload: bytes


class MemoryBucket:
    """The data of one bucket, or of one shard."""

    def __init__(self) -> None:
        self._values: dict[str, _MemoryValue] = {}
        self.last_revision: int = 0
        """The revision of the last write; 0 before the first one."""
        self._watchers: list[tuple[str, trio.MemorySendChannel[Entry]]] = []
        self.ttl: float | None = None
        """Seconds until a value expires that has no `ttl` of its own; None for never."""
        self.max_bytes: int | None = None
        """Bytes that the bucket may hold; None for no limit."""

    @property
    def bytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(_size(key, found.value) for key in list(self._values) if (found := self._present(key)) is not None)

    def _present(self, key: str) -> _MemoryValue | None:
        found = self._values.get(key)
        if found is not None and found.expires is not None and found.expires <= trio.current_time():
            del self._values[key]
            return None
        return found

    def write(self, write: Write, *, delete: bool = False) -> int:
        """Apply a write at once, and return its revision. Raises Conflict, StoreFull."""
        self.check(write)
        self._check_room(write, self._present(write.key))
        self.last_revision += 1
        ttl, now = self.ttl if write.ttl is None else write.ttl, trio.current_time()
        expires = None if ttl is None else now + ttl
        self._values[write.key] = _MemoryValue(None if delete else write.value, self.last_revision, now, expires)
        if not delete:
            self._tell(Entry(write.key, write.value, self.last_revision))
        return self.last_revision

    def check(self, write: Write) -> None:
        """Raise Conflict if the key has another revision than the write expects."""
        present = self._present(write.key)
        if write.expected is not None and (present.revision if present else 0) != write.expected:
            raise Conflict(write.key, write.expected)

    def _check_room(self, write: Write, present: _MemoryValue | None) -> None:
        """Raise StoreFull as nats-server does: in a full bucket a value may only be replaced by a smaller one."""
        if self.max_bytes is None:
            return
        size = _size(write.key, write.value)
        smaller = present is not None and size <= _size(write.key, present.value)
        if not smaller and self.bytes + size > self.max_bytes:
            raise StoreFull(f"{write.key}: the server is full (maximum bytes exceeded)")

    def read(self, key: str) -> Entry | None:
        """Return the value of a key; None for nothing and for a delete marker."""
        found = self._present(key)
        return None if found is None or found.value is None else Entry(key, found.value, found.revision)

    def deletion(self, key: str) -> Deletion | None:
        """Return the delete marker under a key. Its time is unknown: virtual time has no time of day."""
        found = self._present(key)
        return None if found is None or found.value is not None else Deletion("DEL", found.revision, "an unknown time")

    def purge(self, key: str, revision: int | None = None) -> None:
        """Remove every trace of a key; with a `revision`, only what is not newer."""
        found = self._values.get(key)
        if found is not None and (revision is None or found.revision <= revision):
            del self._values[key]

    def entries(self, prefix: str, *, after: int = 0) -> list[Entry]:
        """Return the entries with a later revision than `after` whose first token is `prefix`, if there is one."""
        first = 0 if after > self.last_revision else after  # a cursor beyond the end is of a bucket that was replaced
        later = [key for key, value in self._values.items() if value.revision > first]
        keys = [key for key in later if not prefix or key.startswith(prefix + ".")]
        return [entry for key in keys if (entry := self.read(key)) is not None]

    @property
    def is_whole(self) -> bool:
        """True if nothing that was ever written is gone, or was replaced."""
        return len(self._values) == self.last_revision

    def stored(self, clock: MemoryClock) -> list[StoredValue]:
        """Return all values, the one that was written first comes first."""
        present = [(key, found) for key in list(self._values) if (found := self._present(key)) is not None]
        values = [
            StoredValue(key, found.value, found.revision, clock.at(found.at))
            for key, found in present
            if found.value is not None
        ]
        return sorted(values, key=lambda one: one.sequence)

    def watch(self, prefix: str, send: trio.MemorySendChannel[Entry]) -> Callable[[], None]:
        """Send later changes to `send`; return a function that ends this."""
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
    """An inbound message on the server. `parked` is "" for a new one; `again_at` is when it may be handed out again."""

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
        self.parked: Literal["", "parked", "parked starts"] = parked
        self.since = since
        self.again_at: float = 0.0


class DeadLetter(NamedTuple):
    """A message that can never be applied, with the reason, the worker that gave it up, and the class of the error."""

    message: InboundMessage
    reason: str
    by: str
    code: str


class MemoryClock:
    """The server's clock, which implements the port `Clock`: it starts at the time of day and follows trio's clock.

    So virtual time moves it.
    """

    skew: float = 0.0

    def __init__(self, clock: trio.abc.Clock) -> None:
        self.clock: trio.abc.Clock = clock
        self._start = time.time() - clock.current_time()

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return self._start + self.clock.current_time()

    def at(self, trios: float) -> float:
        """Return the seconds since the epoch at a moment of trio's clock."""
        return self._start + trios

    async def until_set(self) -> None:
        """Wait forever: this clock is never corrected."""
        await trio.sleep_forever()


class MemoryServer:
    """The durable side of the store in memory: one for each test. Several stores may be connected to it."""

    def __init__(self, *, max_payload: int = MAX_PAYLOAD) -> None:
        self.max_payload: int = max_payload
        self.faults: StoreFaults = StoreFaults()
        self.batches: bool = False
        """True if its streams take atomic batches."""
        self.events: list[EventMessage] = []
        self.event_times: dict[int, float] = {}
        """The time at which each event was stored, by its sequence, in seconds since the epoch."""
        self.events_lost: int = 0
        """The number of the oldest events that count as lost."""
        self._event_ids: dict[str, int] = {}
        self._buckets: dict[str, MemoryBucket] = {}
        self.inbox: list[Queued] = []
        self.inbox_ids: dict[str, float] = {}
        """The ids of sent messages, each with the time until which a message with that id is dropped."""
        self.inbox_position: int = 0
        self.commands: list[QueuedCommand] = []
        self.command_ids: dict[str, float] = {}
        """The ids of commands, as `inbox_ids`."""
        self.commands_changed: trio.lowlevel.ParkingLot = trio.lowlevel.ParkingLot()
        self.dead: list[DeadLetter] = []
        self.inbox_changed: trio.lowlevel.ParkingLot = trio.lowlevel.ParkingLot()
        self.handlers: dict[str, Callable[[bytes], Awaitable[bytes]]] = {}
        self.listeners: list[tuple[frozenset[str], Callable[[str], None]]] = []
        self._clock: MemoryClock | None = None

    def clock(self) -> MemoryClock:
        """Return the clock that all stores of this trio program share."""
        trios = trio.lowlevel.current_clock()
        if self._clock is None or self._clock.clock is not trios:
            self._clock = MemoryClock(trios)
        return self._clock

    def bucket(self, name: str) -> MemoryBucket:
        """Return the bucket of that name, created when it is first asked for."""
        return self._buckets.setdefault(name, MemoryBucket())

    def forget(self, name: str) -> None:
        """Lose a bucket with all that is in it."""
        self._buckets.pop(name, None)

    def limit(self, name: str, max_bytes: int | None) -> None:
        """Create a bucket that may hold so many bytes; an existing one stays as it is."""
        if name not in self._buckets:
            self.bucket(name).max_bytes = max_bytes

    def lose_events(self, number: int) -> None:
        """Lose the oldest events, as a log with an `events_ttl` does."""
        self.events_lost += number

    def check_unknown(self, message: EventMessage) -> None:
        """Raise Conflict if the log has an event of this id."""
        if message.id in self._event_ids:
            raise Conflict(message.id, 0)

    def append(self, message: EventMessage) -> int:
        """Add an event, and return its sequence; for an id that is known, the sequence of the first copy."""
        if message.id not in self._event_ids:
            self.events.append(message)
            self._event_ids[message.id] = len(self.events)
            self.event_times[len(self.events)] = self.clock().now()
        return self._event_ids[message.id]
