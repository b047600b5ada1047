"""The timers actor: one heap for all sagas that wait. Wall-clock times; a saga that has ended just ignores its wake."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

import trio
from sagakit_actors import Actor, ActorStopped, Context, Down, MailboxFull, Ref

from sagakit.system.messages import SagaMessage, SetTimer, Wake

LONGEST_SLEEP = 10.0
"""Seconds after which the wall clock is looked at again: it may have been set."""
FULL_PAUSE = 0.1
"""Seconds until a saga whose mailbox is full is woken again; it is awake anyway."""


class Timers(Actor[SetTimer]):
    """Wakes sagas. Its memory is a cache: after a restart every saga's actor sets its timer again."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._heap: list[tuple[float, int, Ref[SagaMessage]]] = []
        self._order = count()

    async def run(self, ctx: Context[SetTimer]) -> None:
        """Wait for the next due time or the next message, whichever comes first."""
        while True:
            wait = min(LONGEST_SLEEP, self._heap[0][0] - self._now()) if self._heap else float("inf")
            with trio.move_on_after(max(0.0, wait)):
                for message in await ctx.receive_batch():
                    if not isinstance(message, Down):
                        self._set(message.ref, message.at)
            self._wake_due()

    def _set(self, ref: Ref[SagaMessage], at: float) -> None:
        heapq.heappush(self._heap, (at, next(self._order), ref))

    def _wake_due(self) -> None:
        now = self._now()
        while self._heap and self._heap[0][0] <= now:
            ref = heapq.heappop(self._heap)[2]
            try:
                ref.tell_nowait(Wake())
            except MailboxFull:
                self._set(ref, now + FULL_PAUSE)
            except ActorStopped:
                continue
