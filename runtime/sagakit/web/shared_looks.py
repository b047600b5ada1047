"""Looks that visitors share: an expensive read runs once at a time, and takes a part of the time only."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import anyio

from sagakit.repository import Wanted
from sagakit.repository.counting import SagaCounts
from sagakit.repository.groups import StuckGroup, grouped

if TYPE_CHECKING:
    from sagakit.client.client import Client

T = TypeVar("T")
PAUSE = 1.0
"""Seconds until a look begins for those who come later."""
FEW = 1_000
"""Values that are read for one visitor alone. A look that reads more of them is shared for some time."""
SHARE = 5
"""Factor: a look that took a second is shared for five. So it takes a fifth of the time at the most."""
EASE = 20
"""Factor: the next look that nobody waits for begins once the last one is so many times as old as it took."""
STILL_TRUE = 60.0
"""Seconds for which a look at all the stuck is shown in place of one that is under way."""
PATIENCE = 60.0
"""Seconds that a look may take for those who come later."""


class Looked(NamedTuple, Generic[T]):
    """The result of a look, and the number of values that were read for it."""

    found: T
    read: int


class SharedLook(Generic[T]):
    """A look that all visitors of one app share. For tasks of one event loop; `clock` is monotonic, in seconds.

    A visitor gets what was found by a look that began after they had asked, so nobody misses what they have done
    themselves. Where that takes many values, it may be older: up to SHARE times as old as the look has taken.
    """

    def __init__(
        self, look: Callable[[Client], Awaitable[Looked[T]]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._clock = clock
        self._lock = anyio.Lock()
        self._last: Looked[T] | None = None
        self._began = 0.0
        self._lasts = 0.0

    async def get(self, client: Client) -> T:
        """Return what is found. Raises what the look raises; a cancelled one is begun again for the next visitor."""
        asked = self._clock()
        async with self._lock:
            if self._last is None or self._began <= asked - self._lasts:
                began = self._clock()
                self._last = await self._look(client)
                self._began = began
                self._lasts = SHARE * (self._clock() - began) if self._last.read > FEW else 0.0
            return self._last.found

    def known(self, within: float) -> tuple[T | None, bool]:
        """Return what was found in the last `within` seconds, or else None; and True if it is old.

        If it is old, call `renew` after the answer. Nobody waits for that look: it takes a twentieth of the time.
        """
        age = self._clock() - self._began
        if self._last is None or age > within:
            return None, True
        return self._last.found, age >= self._lasts * EASE / SHARE

    async def renew(self, client: Client) -> None:
        """Look for those who come later, for a minute at the most. Raises what the look raises.

        It begins after a pause, so that a browser gets the scripts of its page first.
        """
        with anyio.move_on_after(PATIENCE):
            await anyio.sleep(PAUSE)
            await self.get(client)


class Looks:
    """The looks of one app."""

    def __init__(self) -> None:
        self.counts: SharedLook[SagaCounts] = SharedLook(_count)
        """All sagas, by type and status."""
        self.groups: SharedLook[Sequence[StuckGroup]] = SharedLook(_group)
        """The stuck, by type, step and error."""


async def _count(client: Client) -> Looked[SagaCounts]:
    told = await client.repository.count(Wanted(ended=True), few=FEW)
    return Looked(told, sum(told.counts.values()))  # to count an archive costs the server as much as to read some


async def _group(client: Client) -> Looked[Sequence[StuckGroup]]:
    found = await client.repository.records(Wanted(status="stuck"))
    return Looked(grouped(found.records), found.read)
