"""Storage quotas: the state buckets and the account, with their limits and fill levels as one worker sees them."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import trio

from sagakit.store.ports import BucketUsage

STARTS = 0.5
"""Share of a bucket that sagas may fill by being started."""
RUNNING = 0.8
"""Share of a bucket up to which all sagas go on and children are started. Beyond it sagas take turns."""
ACCOUNT = 0.95
"""Share of an account's storage up to which sagas are started, with the bytes that running sagas will still add."""
ALL = 4
"""Ratio of the bytes of a saga's events and archived record to the bytes of its first record, about."""
MINE = 0.1
"""Share of the free room that this worker uses up before it asks again, since other workers use it at the same time."""
TURN = 10.0
"""Seconds after which a saga that has the turn and writes nothing may lose it."""


class StorageQuota:
    """A storage that may have a limit, and its fill level."""

    def __init__(self) -> None:
        self.usage: BucketUsage = BucketUsage("", 0)
        """Fill level and limit at the last look."""
        self.looked_at: float = -inf
        """Trio time of the last look."""
        self.granted: int = 0
        """Bytes that this worker has begun to add since the last look."""

    @property
    def bytes(self) -> int:
        """Bytes that the storage holds now, as far as this worker knows."""
        return self.usage.bytes + self.granted

    @property
    def has_limit(self) -> bool:
        """True if the storage has a limit."""
        return self.usage.limit is not None

    def exceeds(self, share: float, more: int = 0) -> bool:
        """Return True if, with `more` bytes, the storage would be fuller than this share of its limit."""
        return self.usage.limit is not None and self.bytes + more > self.usage.limit * share

    def is_out_of_date(self, share: float, more: int = 0) -> bool:
        """Return True if so much was granted since the last look that another look has to come before `more` bytes."""
        # this worker does not see what other workers add. If each of up to ten uses a tenth of the free room between
        # two looks, they do not exceed the share together; the nearer the share, the more often they look
        if self.usage.limit is None or not self.granted:
            return False
        return self.granted + more > MINE * (self.usage.limit * share - self.usage.bytes)

    def grant(self, more: int) -> None:
        """Note that `more` bytes are about to be added."""
        self.granted += more

    def seen(self, usage: BucketUsage) -> None:
        """Take the server's answer to a look."""
        self.usage, self.looked_at, self.granted = usage, trio.current_time(), 0


class AccountQuota(StorageQuota):
    """The account's storage: state, events and finished sagas."""

    def __init__(self) -> None:
        super().__init__()
        self._owed = 0
        """Bytes that the running sagas will still add."""

    @property
    def bytes(self) -> int:
        """Bytes that the account holds, and those that the running sagas will still add."""
        return super().bytes + self._owed

    def counted(self, usage: BucketUsage | None, live: int) -> None:
        """Take the server's answer to a look; None means no limit. `live` bytes are in the state buckets."""
        self.seen(BucketUsage("the account", 0) if usage is None else usage)
        self._owed = ALL * live

    def __str__(self) -> str:
        return (
            f"the account's JetStream storage holds {self.usage.bytes:,} of {self.usage.limit or 0:,} bytes: what is "
            "left is kept for the sagas that run to end; raise the account's limit, or keep less (`archive_ttl`, "
            "`events_ttl`)"
        )


class ShardQuota(StorageQuota):
    """A state bucket, and the sagas that wait to write to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: int = 0
        """Bytes by which acknowledged writes of this worker have made the bucket grow since the last look."""
        self.reserved: int = 0
        """Bytes of sagas that are being started here."""
        self._submitted: dict[str, int] = {}
        """Bytes by which the record that was handed in will make the bucket grow, by key."""
        self._on_the_way = 0
        """Sum of `_submitted`."""
        self.refused_at: float | None = None
        """Trio time at which the server last refused to store a record; None once it has taken one again."""
        self.waiting: dict[str, tuple[bool, Callable[[], None]]] = {}
        """Waiting sagas by key, the longest wait first. True: for a last record. The callback wakes the saga."""
        self._turn = ""
        """Key of the saga whose turn it is; empty if it is nobody's."""
        self._turn_at = 0.0
        """Trio time at which that saga got the turn or last handed in a record."""

    @property
    def bytes(self) -> int:
        """Bytes that the bucket holds now, as far as this worker knows."""
        return self.usage.bytes + self.written + self.reserved + self._on_the_way

    def submitted(self, key: str, grown: int) -> None:
        """Note that a record is on its way which will make the bucket grow by `grown` bytes."""
        self.settled(key)  # a record that was refused as too large is never settled otherwise
        if key == self._turn:
            self._turn_at = trio.current_time()
        self._submitted[key] = grown
        self._on_the_way += grown
        self.grant(max(0, grown))

    def settled(self, key: str) -> int:
        """Note that the saga's record is not on its way any more. Return the bytes by which it grows the bucket."""
        grown = self._submitted.pop(key, 0)
        self._on_the_way -= grown
        return grown

    @property
    def is_tight(self) -> bool:
        """True if sagas have to take turns."""
        return self.refused_at is not None or self.exceeds(RUNNING)

    def takes_turn(self, key: str) -> bool:
        """Return True if it is this saga's turn. The saga gets the turn if nobody has it, or its holder is stale."""
        # a saga whose step runs for long would hold up all others, although it writes nothing: it loses the turn
        if self._turn not in ("", key) and not self._is_stale:
            return False
        if self._turn != key:
            self._turn, self._turn_at = key, trio.current_time()
        return True

    @property
    def _is_stale(self) -> bool:
        return trio.current_time() >= self._turn_at + TURN

    def left(self, key: str) -> None:
        """Forget a saga that is not active any more; its turn goes to the next one."""
        self.settled(key)
        self.waiting.pop(key, None)
        if self._turn == key:
            self._turn = ""
            self.wake()

    def wake(self) -> None:
        """Wake all sagas that may go on; of those that take turns, the one that has the turn or has waited longest."""
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


class Reservation:
    """Room for one new saga, held while the context is open. When it closes, the record is stored or will not be."""

    __slots__ = ("_shard", "_size")

    def __init__(self, shard: ShardQuota | None, size: int) -> None:
        self._shard = shard
        self._size = size

    def __enter__(self) -> None:
        if self._shard is not None:
            self._shard.reserved += self._size

    def __exit__(self, error: object, *_: object) -> None:
        if self._shard is not None:
            self._shard.reserved -= self._size
            if error is None:
                self._shard.written += self._size


NOT_LIMITED = Reservation(None, 0)
"""The room for any saga while no storage has a limit."""
