"""Isolation: a saga that may have taken its workers down runs alone, one at a time per worker (P11).

See docs/architecture.md, "Suspects".

The gate is closed, so that no other saga opens an attempt; those that are open are awaited; then the suspect is told.
When it has come to a result, or has taken the worker down, it is known whose fault it was. A worker that cannot come to
rest within PATIENCE, and one that has just waited for a suspect, goes on with its other work for as long again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import TypeAlias, assert_never

import msgspec
import trio
from sagakit_actors import Actor, ActorContext, ActorDied, ActorGone, Down, Ref, StopRequested

from sagakit.system.saga.saga_messages import AwaitQuiet, RunAlone, SagaMessage, Wake
from sagakit.system.turns import Action, AskAlone, Turns

PATIENCE = 30.0
"""Seconds that the others' open attempts get to end before the suspect's turn is put off."""


class DoneAlone(msgspec.Struct, frozen=True):
    """A suspect does not need this turn any more."""

    turn: AskAlone


IsolationMessage: TypeAlias = AskAlone | DoneAlone


class Gate:
    """Whether a saga may open attempts now. Read by every saga's actor at every turn; set by the isolation actor."""

    def __init__(self) -> None:
        self._closed = False
        self._dismissed = False
        self._turn: AskAlone | None = None
        self._held: set[Ref[SagaMessage]] = set()
        self._opened = trio.Event()

    def admits(self, ref: Ref[SagaMessage]) -> bool:
        """Whether this saga may open attempts; if not, it is woken when it may."""
        if not self._closed:
            return True
        turn = self._turn
        if turn is not None and turn.ref is ref and turn.incarnation == ref.incarnation:
            return True
        self._held.add(ref)
        return False

    @property
    def is_open(self) -> bool:
        """Whether all may open attempts."""
        return not self._closed

    async def until_open(self) -> None:
        """Return when a new saga may open attempts; at once if it may."""
        while self._closed:
            await self._opened.wait()

    def close(self) -> None:
        """From now on no saga may open attempts."""
        self._closed, self._turn = not self._dismissed, None

    def grant(self, turn: AskAlone) -> None:
        """One incarnation alone may open attempts."""
        self._closed, self._turn = not self._dismissed, turn

    def open(self) -> None:
        """All may again."""
        self._closed, self._turn = False, None
        opened, self._opened = self._opened, trio.Event()
        opened.set()
        held, self._held = self._held, set()
        for ref in held:
            ref.signal(Wake())

    def dismiss(self) -> None:
        """The worker leaves, and opens no attempt any more: the gate stays open, and nobody waits at it."""
        self._dismissed = True
        self.open()


class Isolation(Actor[IsolationMessage]):
    """Gives suspects their turns. `turns` and `gate` outlive a crash; what waits then is asked for again.

    `others` gives the actors that are active here but for one.
    """

    tasks = True
    _ctx: ActorContext[IsolationMessage]

    def __init__(self, gate: Gate, turns: Turns, others: Callable[[str], list[Ref[SagaMessage]]]) -> None:
        self._gate = gate
        self._turns = turns
        self._others = others
        self._began = trio.current_time()
        self._preparation = trio.CancelScope()

    async def run(self, ctx: ActorContext[IsolationMessage]) -> None:
        """Until stopped; then nobody is held any more."""
        self._ctx = ctx
        self._do(self._turns.lost())
        try:
            while True:
                self._take(await ctx.receive())
        except StopRequested:  # not after a crash: the next incarnation goes on
            self._gate.dismiss()
            raise

    def _take(self, message: IsolationMessage | Down) -> None:
        match message:
            case AskAlone(ref=ref, incarnation=incarnation):
                if ref.incarnation != incarnation:
                    return  # it died since
                self._ctx.watch(ref)
                self._do(self._turns.asked(message))
            case DoneAlone(turn=turn):
                self._over(turn)
            case Down(ref=ref, incarnation=incarnation):
                for turn in self._turns.of(ref):
                    if turn.incarnation <= incarnation:
                        self._over(turn)
                if not self._turns.of(ref):
                    self._ctx.unwatch(ref)
            case _:
                assert_never(message)

    def _over(self, turn: AskAlone) -> None:
        self._do(self._turns.over(turn))
        if not self._turns.of(turn.ref):
            self._ctx.unwatch(turn.ref)

    def _do(self, action: Action) -> None:
        turn, start = self._turns.turn, self._ctx.nursery.start_soon
        match action:
            case "prepare":
                assert turn is not None
                self._gate.close()
                self._began, self._preparation = trio.current_time(), trio.CancelScope()
                start(self._prepare, turn, self._preparation)
            case "grant":
                assert turn is not None
                self._gate.grant(turn)
                turn.ref.signal(RunAlone(turn))
            case "pause":
                self._preparation.cancel()
                self._gate.open()
                start(self._pause)
            case "open":
                self._gate.open()
            case "resume":
                assert turn is not None
                self._ctx.watch(turn.ref)
                if turn.ref.incarnation != turn.incarnation:
                    self._over(turn)
            case "":
                pass
            case _:
                assert_never(action)

    async def _prepare(self, turn: AskAlone, scope: trio.CancelScope) -> None:
        """Wait until no other saga has an attempt open."""
        with scope:
            with trio.move_on_after(PATIENCE) as patience:
                async with trio.open_nursery() as nursery:
                    for ref in self._others(turn.ref.name):
                        nursery.start_soon(partial(_until_quiet, ref))
            self._do(self._turns.impatient(turn) if patience.cancelled_caught else self._turns.quiet(turn))

    async def _pause(self) -> None:
        """Let the others go on for as long as the turn took."""
        await trio.sleep(min(PATIENCE, trio.current_time() - self._began))
        self._do(self._turns.paused())


async def _until_quiet(ref: Ref[SagaMessage]) -> None:
    with suppress(ActorDied, ActorGone):
        await ref.ask(AwaitQuiet, timeout=inf)
