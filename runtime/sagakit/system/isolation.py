"""Isolation: a saga that may have taken its workers down runs alone, one at a time per worker (DESIGN 7, P11).

The gate is closed, so that no other saga opens an attempt; those that are open are awaited; then the suspect is told.
When it has come to a result, or has taken the worker down, it is known whose fault it was. A worker that cannot come to
rest within PATIENCE, and one that has just waited for a suspect, goes on with its other work for as long again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf

import trio
from sagakit_actors import Actor, ActorDied, ActorStopped, Context, Down, Ref

from sagakit.system.messages import AskAlone, AwaitQuiet, IsolationMessage, RunAlone, SagaMessage, Wake

PATIENCE = 30.0
"""Seconds that the others' open attempts get to end before the suspect's turn is put off."""


class Gate:
    """Whether a saga may open attempts now. Read by every saga's actor at every turn; set by the isolation actor."""

    def __init__(self) -> None:
        self._only: Ref[SagaMessage] | None = None
        self._held: set[Ref[SagaMessage]] = set()
        self._opened = trio.Event()

    def admits(self, ref: Ref[SagaMessage]) -> bool:
        """Whether this saga may open attempts; if not, it is woken when it may."""
        if self._only is None or self._only is ref:
            return True
        self._held.add(ref)
        return False

    @property
    def is_open(self) -> bool:
        """Whether all may open attempts."""
        return self._only is None

    async def until_open(self) -> None:
        """Return when a new saga may open attempts; at once if it may."""
        while self._only is not None:
            await self._opened.wait()

    def close(self, only: Ref[SagaMessage]) -> None:
        """From now on one saga alone may open attempts."""
        self._only = only

    def open(self) -> None:
        """All may again."""
        self._only = None
        opened, self._opened = self._opened, trio.Event()
        opened.set()
        held, self._held = self._held, set()
        for ref in held:
            ref.signal(Wake())


class Isolation(Actor[IsolationMessage]):
    """Gives suspects their turns. Its memory is a cache: suspects ask again when it was lost.

    `others` gives the actors that are active here but for one.
    """

    tasks = True

    def __init__(self, gate: Gate, others: Callable[[str], list[Ref[SagaMessage]]]) -> None:
        self._gate = gate
        self._others = others
        self._waiting: deque[Ref[SagaMessage]] = deque()
        self._asked = trio.Event()
        self._running: Ref[SagaMessage] | None = None
        self._done = trio.Event()

    async def run(self, ctx: Context[IsolationMessage]) -> None:
        """Until stopped; then nobody is held any more."""
        self._gate.open()
        ctx.nursery.start_soon(self._turns)
        try:
            while True:
                self._take(ctx, await ctx.receive())
        finally:
            self._gate.open()

    def _take(self, ctx: Context[IsolationMessage], message: IsolationMessage | Down) -> None:
        ref: Ref[SagaMessage] = message.ref
        if isinstance(message, AskAlone):
            if ref not in self._waiting and ref is not self._running:
                ctx.watch(ref)
                self._waiting.append(ref)
                self._asked.set()
            return
        ctx.unwatch(ref)
        if ref is self._running:
            self._done.set()
        with suppress(ValueError):
            self._waiting.remove(ref)

    async def _turns(self) -> None:
        while True:
            if not self._waiting:
                self._asked = trio.Event()
                await self._asked.wait()
            began = trio.current_time()
            await self._turn(self._waiting.popleft())
            self._running = None
            self._gate.open()
            await trio.sleep(min(PATIENCE, trio.current_time() - began))

    async def _turn(self, suspect: Ref[SagaMessage]) -> None:
        self._running, self._done = suspect, trio.Event()
        self._gate.close(suspect)
        with trio.move_on_after(PATIENCE) as patience:
            await self._quiet(suspect)
        if patience.cancelled_caught:
            self._waiting.append(suspect)
            return
        with suppress(ActorStopped):
            await suspect.tell(RunAlone())
            await self._done.wait()

    async def _quiet(self, suspect: Ref[SagaMessage]) -> None:
        """Return when no other saga has an attempt open."""
        async with trio.open_nursery() as nursery:
            for ref in self._others(suspect.name):
                nursery.start_soon(partial(_until_quiet, ref))


async def _until_quiet(ref: Ref[SagaMessage]) -> None:
    with suppress(ActorDied, ActorStopped):
        await ref.ask(AwaitQuiet, timeout=inf)
