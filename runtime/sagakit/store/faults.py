"""The faults that a test injects into the store in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Literal, NamedTuple, TypeAlias, get_args

import msgspec
import trio

FaultKind: TypeAlias = Literal["lose_ack", "never_applied", "applied_late", "slow", "unsent", "full"]
"""The kinds of fault. `lose_ack`: applied, and ambiguous to the writer. `never_applied`: ambiguous, and not applied.
`applied_late`: ambiguous now, and applied later. `slow`: applied and acknowledged later. `unsent`: Unavailable, and not
applied. `full`: refused, because there is no room.

A fault strikes a whole atomic batch if it fits one of its writes. `full` is then the same as `batch_half`."""
BatchFaultKind: TypeAlias = Literal["batch_refused", "batch_half"]
"""The kinds of fault that strike batches only. `batch_refused`: refused, as when too many of them are under way.
`batch_half`: the disk fails in the middle of the commit: the writes before the struck one are applied, without an
answer; without a key, the one in the middle is struck."""
_FOR_BATCHES = frozenset(get_args(BatchFaultKind))


class StoreFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of one write. `key` restricts it to writes of that key (or event subject); `delay` is in seconds."""

    kind: FaultKind | BatchFaultKind
    key: str | None = None
    delay: float = 0.0


class Watched(NamedTuple):
    """A write on its way. `where` is `state`, `archive`, `values`, `events`, `commands` or `other`.

    `key` is a bucket's key, a subject, or the id of a command.
    """

    where: str
    key: str
    value: bytes


class StoreFaults:
    """The faults of one `MemoryServer`: ordered ones for single writes, outages, and watchers that may cut a link."""

    def __init__(self) -> None:
        self._orders: deque[StoreFault] = deque()
        self._over = trio.Event()
        self.over_at: float = -inf
        """The end of the last outage, in trio's time; -inf if there was none."""
        self.ended: int = 0
        """Number of outages that have ended."""
        self.outage: bool = False
        """True while the server cannot be reached."""
        self.before_write: Callable[[Watched], None] | None = None
        """Called before a write is applied; it may kill the writer's connection."""
        self.after_write: Callable[[Watched], None] | None = None
        """Called after a write was applied and before it is acknowledged; it may kill the writer's connection."""

    def order(self, *faults: StoreFault) -> None:
        """Order faults: each of them strikes once, the next write that it fits, in this order."""
        self._orders.extend(faults)

    @property
    def left(self) -> list[StoreFault]:
        """The ordered faults that have not struck yet: a test asserts that none is left, or it has shown nothing."""
        return list(self._orders)

    def next_for(self, *keys: str, batch: bool = False) -> StoreFault | None:
        """Return the next ordered fault that fits a write of one of `keys`, and forget it; None if there is none."""
        for fault in self._orders:
            if (fault.key is None or fault.key in keys) and (batch or fault.kind not in _FOR_BATCHES):
                self._orders.remove(fault)
                return fault
        return None

    def begin_outage(self) -> None:
        """Make the server unreachable from now on."""
        self.outage = True

    def end_outage(self) -> None:
        """Make the server reachable again, and wake the tasks that wait for it."""
        self.outage = False
        self.over_at = trio.current_time()
        self.ended += 1
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
