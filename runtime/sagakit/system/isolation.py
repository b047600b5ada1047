"""Isolation: a saga that may have taken its workers down runs alone, one at a time per worker (P11).

See docs/architecture.md, "Suspects".

The isolation actor closes the gate, so that no other saga opens an attempt. It waits until the open attempts have
ended, and then tells the suspect. Now the suspect either comes to a result or takes the worker down: either way it is
known whose fault it was. If the attempts of the others do not end within PATIENCE, and after each turn, the other sagas
go on for as long as they were held up.
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
"""Seconds that the open attempts of the others get to end before the suspect's turn is put off."""


class DoneAlone(msgspec.Struct, frozen=True):
    """A suspect's notice that it does not need this turn any more."""

    turn: AskAlone


IsolationMessage: TypeAlias = AskAlone | DoneAlone


class Gate:
    """The gate that attempts have to pass. Every saga's actor reads it at every turn; the isolation actor sets it."""

    def __init__(self) -> None:
        self._closed = False
        self._dismissed = False
        self._turn: AskAlone | None = None
        self._held: set[Ref[SagaMessage]] = set()
        self._opened = trio.Event()

    def admits(self, ref: Ref[SagaMessage]) -> bool:
        """Return True if this saga may open attempts. If not, its actor is woken when it may."""
        if not self._closed:
            return True
        # the incarnation counts, too: after a crash the next one must not run on the turn of the one before, since its
        # record does not say that it runs alone
        turn = self._turn
        if turn is not None and turn.ref is ref and turn.incarnation == ref.incarnation:
            return True
        self._held.add(ref)
        return False

    @property
    def is_open(self) -> bool:
        """True if all sagas may open attempts."""
        return not self._closed

    async def until_open(self) -> None:
        """Wait until a new saga may open attempts; return at once if it may."""
        while self._closed:
            await self._opened.wait()

    def close(self) -> None:
        """Let no saga open attempts from now on, unless the worker leaves."""
        self._closed, self._turn = not self._dismissed, None

    def grant(self, turn: AskAlone) -> None:
        """Let only the incarnation that has this turn open attempts."""
        self._closed, self._turn = not self._dismissed, turn

    def open(self) -> None:
        """Let all sagas open attempts again, and wake those that were held."""
        self._closed, self._turn = False, None
        # exchanged before anybody is woken: a saga that is held from now on belongs to the next closing
        opened, self._opened = self._opened, trio.Event()
        opened.set()
        held, self._held = self._held, set()
        for ref in held:
            ref.signal(Wake())

    def dismiss(self) -> None:
        """Open the gate for good: the worker leaves and opens no attempt any more, so nobody need wait."""
        self._dismissed = True
        self.open()


class Isolation(Actor[IsolationMessage]):
    """Gives suspects their turns. `turns` and `gate` outlive a crash of this actor; suspects that wait ask again.

    `others` returns the active actors except that of one key.
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
        """Run until stopped. From then on the gate holds nobody."""
        self._ctx = ctx
        self._do(self._turns.lost())
        try:
            while True:
                self._take(await ctx.receive())
        except StopRequested:  # not after a crash: the gate stays as it is for the next incarnation
            self._gate.dismiss()
            raise

    def _take(self, message: IsolationMessage | Down) -> None:
        match message:
            case AskAlone(ref=ref, incarnation=incarnation):
                if ref.incarnation != incarnation:
                    return  # the incarnation that asked has died, and no Down of it would come any more
                self._ctx.watch(ref)
                self._do(self._turns.asked(message))
            case DoneAlone(turn=turn):
                self._over(turn)
            case Down(ref=ref, incarnation=incarnation):
                # the notice may come after the next incarnation has asked: only the turns of the dead ones are over
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
                if turn.ref.incarnation != turn.incarnation:  # it died while this actor was down: nobody told
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
        """Let the others go on for as long as the turn and its preparation took, PATIENCE at most."""
        await trio.sleep(min(PATIENCE, trio.current_time() - self._began))
        self._do(self._turns.paused())


async def _until_quiet(ref: Ref[SagaMessage]) -> None:
    with suppress(ActorDied, ActorGone):
        await ref.ask(AwaitQuiet, timeout=inf)
