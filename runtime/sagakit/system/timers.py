"""The timers actor: one heap for all sagas that wait. Its times are the server's."""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from math import inf
from typing import TypeAlias
from weakref import ref as weak

import msgspec
import trio
from sagakit_actors import Actor, ActorContext, ActorGone, Down, MailboxFull, Ref

from sagakit.system.saga.saga_messages import Passivate, SagaMessage, Wake

FULL_PAUSE = 0.1
"""Seconds until a saga whose mailbox is full is woken again. It has a turn before that anyway."""
AT_ONCE = 32
"""Sagas that are woken before their actors get a turn. So after a stall the sagas that were due first go first."""
TIDY = 10_000
"""Entries from which on the heap is tidied each time it has doubled: entries of sagas that have ended are removed."""


class SetTimer(msgspec.Struct, frozen=True):
    """Tell `message` to `ref` at `at` (seconds since the epoch), if its actor is still there."""

    ref: Ref[SagaMessage]
    at: float
    message: Wake | Passivate


class SetAlarm(msgspec.Struct, frozen=True):
    """Wake the passivated saga under `key` at `at` (seconds since the epoch)."""

    key: str
    at: float


TimersMessage: TypeAlias = SetTimer | SetAlarm
_Timer: TypeAlias = "tuple[weak[Ref[SagaMessage]], Wake | Passivate]"


class Timers(Actor[TimersMessage]):
    """Wakes sagas. The heap is a cache: after a restart active sagas set their timers again.

    `passivated` returns the alarms of passivated sagas. `wake` is called with the key of a passivated saga that is due.
    `until_set` returns when the clock behind `now` is corrected.
    """

    tasks = True

    def __init__(
        self,
        now: Callable[[], float],
        passivated: Callable[[], Iterable[tuple[str, float]]],
        wake: Callable[[str], None],
        *,
        until_set: Callable[[], Awaitable[None]],
    ) -> None:
        self._now = now
        self._until_set = until_set
        self._sleep = trio.CancelScope()
        self._wake = wake
        self._order = count()
        self._heap: list[tuple[float, int, _Timer | str]] = [(at, next(self._order), key) for key, at in passivated()]
        self._tidy_at = TIDY
        heapq.heapify(self._heap)

    async def run(self, ctx: ActorContext[TimersMessage]) -> None:
        """Wait for the next due time or the next message, whichever comes first."""
        ctx.nursery.start_soon(self._mind_clock)
        while True:
            wait = self._heap[0][0] - self._now() if self._heap else inf
            with trio.move_on_after(max(0.0, wait)) as self._sleep:
                for message in await ctx.receive_batch():
                    self._take(message)
            self._wake_due()
            if len(self._heap) > self._tidy_at:
                self._tidy()

    async def _mind_clock(self) -> None:
        """Wait anew after each correction of the clock: the wait was computed by a clock that was wrong."""
        while True:
            await self._until_set()
            self._sleep.cancel()

    def _take(self, message: TimersMessage | Down) -> None:
        match message:
            case SetTimer():
                self._set((weak(message.ref), message.message), message.at)
            case SetAlarm():
                self._set(message.key, message.at)
            case Down():
                pass

    def _set(self, whom: _Timer | str, at: float) -> None:
        heapq.heappush(self._heap, (at, next(self._order), whom))

    def _wake_due(self) -> None:
        now = self._now()
        for _ in range(AT_ONCE):
            if not self._heap or self._heap[0][0] > now:
                return
            whom = heapq.heappop(self._heap)[2]
            if isinstance(whom, str):
                self._wake(whom)
            elif not _tell(whom):
                self._set(whom, now + FULL_PAUSE)

    def _tidy(self) -> None:
        """Remove what is out of date. Of several alarms of one key the one that was set last counts."""
        alarms: dict[str, tuple[float, int, _Timer | str]] = {}
        timers: list[tuple[float, int, _Timer | str]] = []
        for entry in self._heap:
            whom = entry[2]
            if not isinstance(whom, str):
                timers += [entry] if whom[0]() is not None else []
            elif whom not in alarms or alarms[whom][1] < entry[1]:
                alarms[whom] = entry
        self._heap = [*timers, *alarms.values()]
        heapq.heapify(self._heap)
        self._tidy_at = max(TIDY, 2 * len(self._heap))


def _tell(timer: _Timer) -> bool:
    """Tell a saga its message. Return False if its mailbox is full."""
    ref = timer[0]()
    if ref is not None:
        try:
            ref.tell_nowait(timer[1])
        except MailboxFull:
            return False
        except ActorGone:
            return True
    return True
