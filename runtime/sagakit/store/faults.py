"""What a test wants to go wrong with a store in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Literal, NamedTuple, TypeAlias

import msgspec
import trio

FaultKind: TypeAlias = Literal["lose_ack", "never_applied", "applied_late", "slow", "unsent", "full"]
"""`lose_ack`: applied, but ambiguous to the writer; `never_applied`: ambiguous, and it did not happen; `applied_late`:
ambiguous now, applied later; `slow`: acknowledged later; `unsent`: unavailable; `full`: refused for want of room."""


class StoreFault(msgspec.Struct, frozen=True, kw_only=True):
    """One write goes wrong. `key` restricts it to writes of that key (or event subject); `delay` in seconds."""

    kind: FaultKind
    key: str | None = None
    delay: float = 0.0


class Watched(NamedTuple):
    """A write on its way. `where` is `state`, `archive`, `events` or `other`; `key` a bucket's key or a subject."""

    where: str
    key: str
    value: bytes


class StoreFaults:
    """Orders for a `MemoryServer`."""

    def __init__(self) -> None:
        self._orders: deque[StoreFault] = deque()
        self._over = trio.Event()
        self.over_at: float = -inf
        self.outage: bool = False
        self.before_write: Callable[[Watched], None] | None = None
        self.after_write: Callable[[Watched], None] | None = None

    def order(self, *faults: StoreFault) -> None:
        """Each of these befalls the next write that it fits, once, in this order."""
        self._orders.extend(faults)

    @property
    def left(self) -> list[StoreFault]:
        """Those that nothing has met yet: a test asks, lest it plant what cannot happen."""
        return list(self._orders)

    def next_for(self, key: str) -> StoreFault | None:
        """The fault for a write of `key`, if one was ordered."""
        for fault in self._orders:
            if fault.key in (None, key):
                self._orders.remove(fault)
                return fault
        return None

    def begin_outage(self) -> None:
        """The server is away from now on."""
        self.outage = True

    def end_outage(self) -> None:
        """It is back."""
        self.outage = False
        self.over_at = trio.current_time()
        over, self._over = self._over, trio.Event()
        over.set()

    async def until_over(self) -> None:
        """Return when there is no outage."""
        await trio.lowlevel.checkpoint()
        while self.outage:
            await self._over.wait()

    async def until_over_after(self, since: float) -> None:
        """Return when an outage has ended after `since` (trio's time)."""
        await trio.lowlevel.checkpoint()
        while self.over_at <= since:
            await self._over.wait()
