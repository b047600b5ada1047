"""What has a limit in bytes, as one worker knows it: the state bucket's shards, and the account."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import trio

from sagakit.store.ports import BucketUsage

STARTS = 0.5
"""Share of a bucket that sagas may fill by being started."""
RUNNING = 0.8
"""Share of a bucket up to which all sagas go on, and children are started; beyond it they take turns."""
ACCOUNT = 0.95
"""Share of an account's storage up to which sagas are started, with what those that run will still add."""
ALL = 4
"""A saga's events and its archived record take up about four times as many bytes as its first record."""
MINE = 0.1
"""Share of the free room that this worker uses up before it asks again: others may use it at the same time."""
TURN = 10.0
"""Seconds after which a saga that has the turn, and writes nothing, may lose it."""


class Vessel:
    """Something with a limit, or without."""

    def __init__(self) -> None:
        self.usage: BucketUsage = BucketUsage("", 0)
        self.looked_at: float = -inf
        self.granted: int = 0
        """Bytes that this worker has begun to add since it was looked at."""

    @property
    def bytes(self) -> int:
        """What it holds now, by all that is known."""
        return self.usage.bytes + self.granted

    @property
    def has_limit(self) -> bool:
        """Whether it has one."""
        return self.usage.limit is not None

    def exceeds(self, share: float, more: int = 0) -> bool:
        """Whether it would be fuller than this share of its limit with so many bytes more."""
        return self.usage.limit is not None and self.bytes + more > self.usage.limit * share

    def is_out_of_date(self, share: float, more: int = 0) -> bool:
        """Whether so much was granted since the last look that it is to be looked at before more is."""
        if self.usage.limit is None or not self.granted:
            return False
        return self.granted + more > MINE * (self.usage.limit * share - self.usage.bytes)

    def grant(self, more: int) -> None:
        """So many bytes are about to be added."""
        self.granted += more

    def seen(self, usage: BucketUsage) -> None:
        """The server has told."""
        self.usage, self.looked_at, self.granted = usage, trio.current_time(), 0


class Account(Vessel):
    """All that the account stores: state, events and finished sagas."""

    def __init__(self) -> None:
        super().__init__()
        self._owed = 0

    @property
    def bytes(self) -> int:
        """What it holds, and what the sagas that run will still add."""
        return super().bytes + self._owed

    def counted(self, usage: BucketUsage | None, live: int) -> None:
        """The server has told; without a usage there is no limit. `live` bytes are in the state buckets."""
        self.seen(BucketUsage("the account", 0) if usage is None else usage)
        self._owed = ALL * live

    def __str__(self) -> str:
        return (
            f"the account's JetStream storage holds {self.usage.bytes:,} of {self.usage.limit or 0:,} bytes: what is "
            "left is kept for the sagas that run to end; raise the account's limit, or keep less (`archive_ttl`, "
            "`events_ttl`)"
        )


class Shard(Vessel):
    """One state bucket, and the sagas that wait to write to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: int = 0
        """Bytes by which this worker has made it grow since it was looked at."""
        self.claimed: int = 0
        """Bytes of sagas that are being started here."""
        self._submitted: dict[str, int] = {}
        self._on_the_way = 0
        """Bytes by which what this worker has handed in will make it grow."""
        self.refused_at: float | None = None
        """When the server last refused to store a record; None once it has taken one again."""
        self.waiting: dict[str, tuple[bool, Callable[[], None]]] = {}
        """Who waits: whether with its last record, and how to wake it."""
        self._turn = ""
        self._turn_at = 0.0

    @property
    def bytes(self) -> int:
        """What it holds now, by all that is known."""
        return self.usage.bytes + self.written + self.claimed + self._on_the_way

    def submitted(self, key: str, grown: int) -> None:
        """A record of the saga is on its way."""
        self.settled(key)  # what the server has refused as too large was handed in, too
        if key == self._turn:
            self._turn_at = trio.current_time()
        self._submitted[key] = grown
        self._on_the_way += grown
        self.grant(max(0, grown))

    def settled(self, key: str) -> int:
        """It is stored, or will not be; by how much it made, or would have made, the bucket grow."""
        grown = self._submitted.pop(key, 0)
        self._on_the_way -= grown
        return grown

    @property
    def is_tight(self) -> bool:
        """Whether sagas are to take turns."""
        return self.refused_at is not None or self.exceeds(RUNNING)

    def takes_turn(self, key: str) -> bool:
        """Whether it is this saga's turn; it is if it is nobody else's."""
        if self._turn not in ("", key) and not self._is_stale:
            return False
        if self._turn != key:
            self._turn, self._turn_at = key, trio.current_time()
        return True

    @property
    def _is_stale(self) -> bool:
        return trio.current_time() >= self._turn_at + TURN

    def left(self, key: str) -> None:
        """The saga is not active any more: its turn is the next one's."""
        self.settled(key)
        self.waiting.pop(key, None)
        if self._turn == key:
            self._turn = ""
            self.wake()

    def wake(self) -> None:
        """Wake all who may go on; of those who take turns, the one that has the turn, or has waited longest."""
        for key in self._next() if self.is_tight else list(self.waiting):
            self.waiting.pop(key)[1]()

    def _next(self) -> list[str]:
        ends = [key for key, (end, _) in self.waiting.items() if end]
        others = [key for key, (end, _) in self.waiting.items() if not end]
        if self._turn in others:
            return [*ends, self._turn]
        return [*ends, *(others[:1] if not self._turn or self._is_stale else [])]

    def __str__(self) -> str:
        waiting = f", {len(self.waiting):,} of them wait here" if self.waiting else ""
        return (
            f"the bucket {self.usage.name} holds {self.bytes:,} of {self.usage.limit or 0:,} bytes: what is left is "
            f"kept for the sagas that run to end{waiting}; wait until some have ended, terminate some, or raise the "
            f"limit: `nats stream edit KV_{self.usage.name} --max-bytes=...`"
        )


class Claim:
    """Room for one new saga, while the context is open; then its record is there, or will not be."""

    __slots__ = ("_shard", "_size")

    def __init__(self, shard: Shard | None, size: int) -> None:
        self._shard = shard
        self._size = size

    def __enter__(self) -> None:
        if self._shard is not None:
            self._shard.claimed += self._size

    def __exit__(self, error: object, *_: object) -> None:
        if self._shard is not None:
            self._shard.claimed -= self._size
            if error is None:
                self._shard.written += self._size
