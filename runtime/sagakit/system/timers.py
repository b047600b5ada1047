"""The timers actor: one heap for all sagas that wait. Its times are seconds since the epoch, by the server's clock."""

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
"""Seconds until a saga whose mailbox is full is told again. It has a turn before that anyway."""
AT_ONCE = 32
"""Number of sagas that are woken before their actors get a turn: after a stall those that were due first go first."""
TIDY = 10_000
"""Number of entries from which on the heap is tidied each time that it has doubled."""


class SetTimer(msgspec.Struct, frozen=True):
    """Tell `message` to `ref` at `at` (seconds since the epoch), if that actor still exists."""

    ref: Ref[SagaMessage]
    at: float
    message: Wake | Passivate


class SetAlarm(msgspec.Struct, frozen=True):
    """Wake the passivated saga under `key` at `at` (seconds since the epoch)."""

    key: str
    at: float


TimersMessage: TypeAlias = SetTimer | SetAlarm
_TimerEntry: TypeAlias = "tuple[weak[Ref[SagaMessage]], Wake | Passivate]"


class Timers(Actor[TimersMessage]):
    """Wakes sagas when they are due. The heap is a cache: after a restart active sagas set their timers again.

    `passivated` returns the alarms of passivated sagas. `wake` is called with the key of a passivated saga that is due.
    `until_set` returns each time when the clock behind `now` is corrected.
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
        self._heap: list[tuple[float, int, _TimerEntry | str]] = [
            (at, next(self._order), key) for key, at in passivated()
        ]
        self._tidy_at = TIDY
        heapq.heapify(self._heap)

    async def run(self, ctx: ActorContext[TimersMessage]) -> None:
        """Take the messages that are there, then wait for the next due time or the next messages, until stopped."""
        ctx.nursery.start_soon(self._mind_clock)
        while True:
            # With timers due the wait below is 0, and a wait of 0 is cancelled before it looks at the mailbox. Mail is
            # taken once a turn, so that a stream of it does not keep back what is due.
            if ctx.has_mail:
                self._take_all(await ctx.receive_batch())
            wait = self._heap[0][0] - self._now() if self._heap else inf
            with trio.move_on_after(max(0.0, wait)) as self._sleep:
                self._take_all(await ctx.receive_batch())
            self._wake_due()
            if len(self._heap) > self._tidy_at:
                self._tidy()

    async def _mind_clock(self) -> None:
        """End the wait at each correction of the clock, since it was computed by a clock that was wrong."""
        while True:
            await self._until_set()
            self._sleep.cancel()

    def _take_all(self, messages: list[TimersMessage | Down]) -> None:
        for message in messages:
            match message:
                case SetTimer():
                    self._set((weak(message.ref), message.message), message.at)
                case SetAlarm():
                    self._set(message.key, message.at)
                case Down():
                    pass

    def _set(self, whom: _TimerEntry | str, at: float) -> None:
        heapq.heappush(self._heap, (at, next(self._order), whom))

    def _wake_due(self) -> None:
        now = self._now()
        # if more are due, the wait in `run` is 0 and the rest follows after the next checkpoint
        for _ in range(AT_ONCE):
            if not self._heap or self._heap[0][0] > now:
                return
            whom = heapq.heappop(self._heap)[2]
            if isinstance(whom, str):
                self._wake(whom)
            elif not _tell(whom):
                self._set(whom, now + FULL_PAUSE)

    def _tidy(self) -> None:
        """Remove the entries of actors that are gone, and all alarms of a key but the one that was set last."""
        alarms: dict[str, tuple[float, int, _TimerEntry | str]] = {}
        timers: list[tuple[float, int, _TimerEntry | str]] = []
        for entry in self._heap:
            whom = entry[2]
            if not isinstance(whom, str):
                timers += [entry] if whom[0]() is not None else []
            elif whom not in alarms or alarms[whom][1] < entry[1]:
                alarms[whom] = entry
        self._heap = [*timers, *alarms.values()]
        heapq.heapify(self._heap)
        self._tidy_at = max(TIDY, 2 * len(self._heap))


def _tell(timer: _TimerEntry) -> bool:
    """Tell a saga its message, if its actor still exists. Return False if its mailbox is full."""
    ref = timer[0]()
    if ref is not None:
        try:
            ref.tell_nowait(timer[1])
        except MailboxFull:
            return False
        except ActorGone:
            return True
    return True
