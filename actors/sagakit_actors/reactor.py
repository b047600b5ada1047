"""Reactors: actors without a task of their own. Thousands of them cost what they hold, and a message costs one call.

Source of the distinction: P. Haller, M. Odersky, "Actors that Unify Threads and Events", 2007 (`receive` and `react`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar, TypeVarTuple, final

import trio

from sagakit_actors.actor import Surroundings
from sagakit_actors.cell import Cell, Exit, Restart
from sagakit_actors.flag import Flag
from sagakit_actors.helpers import Helpers, Work
from sagakit_actors.mailbox import Overflow
from sagakit_actors.notices import Down
from sagakit_actors.reply import Reply

M = TypeVar("M")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

BATCH = 1000
"""Messages that one call of `react` gets at most."""
TURN = 256
"""Calls in a row after which other tasks get their turn."""


class Reactor(ABC, Generic[M]):
    """One incarnation. It is called with what has come in and never waits; whoever must wait is piped to it.

    What `begin` or `react` raises is a crash: the supervisor decides.
    """

    def begin(self, ctx: ReactorContext[M]) -> None:  # optional
        """Before the first message."""

    @abstractmethod
    def react(self, messages: list[M | Down]) -> bool:
        """Handle all that has come in, death notices first. False when it is over, in good order."""


@final
class ReactorContext(Surroundings[M]):
    """The surroundings of a reactor. Valid until the incarnation has ended."""

    __slots__ = ()
    _cell: ReactorCell[M]

    def promise(self) -> Reply[Any]:
        """A slot for an answer that this incarnation owes, as if it had been asked; ActorDied if it ends before."""
        reply: Reply[Any] = Reply(self._cell.unanswered)
        self._cell.unanswered[reply] = None
        return reply

    def pipe_to_self(
        self, to: Callable[[R | None], M], fn: Callable[[*Ts], Awaitable[R]], *args: *Ts, timeout: float = inf
    ) -> None:
        """Run `await fn(*args)` beside the actor, and send it `to(result)`; `to(None)` after `timeout` seconds.

        Cancelled when the incarnation ends, which waits for it. An exception is a crash of the incarnation.
        """
        self._cell.pipe(to, fn, args, timeout)


class ReactorSpec(NamedTuple):
    """How to make and keep one reactor.

    `make` is called for each incarnation. It stops between two calls; its side tasks are then cancelled, and get
    `shutdown` seconds to end.
    """

    name: str
    make: Callable[[], Reactor[Any]]
    restart: Restart = "permanent"
    shutdown: float = 5.0
    capacity: int = 1000
    overflow: Overflow = "wait"


class Dispatcher:
    """Calls reactors in the order in which mail came for them, in one task. `ended` is told who has ended, and how."""

    def __init__(self, ended: Callable[[ReactorCell[Any], Exit], None]) -> None:
        self._ended = ended
        self._queue: deque[ReactorCell[Any]] = deque()
        self._task: trio.lowlevel.Task | None = None

    def schedule(self, cell: ReactorCell[Any]) -> None:
        """`cell` wants a call."""
        self._queue.append(cell)
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    async def run(self) -> None:
        """Until cancelled; every `TURN` calls the other tasks get their turn."""
        queue = self._queue
        while True:
            if queue:
                await trio.lowlevel.checkpoint()
            else:
                self._task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort)
            for _ in range(min(TURN, len(queue))):
                cell = queue.popleft()
                exit_ = cell.step()
                if exit_ is not None:
                    self._ended(cell, exit_)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class ReactorCell(Cell[M], Generic[M]):
    """A reactor through its incarnations. `schedule(cell)` asks for a call of `step`."""

    __slots__ = ("_beside", "_ended", "_exited", "_helpers", "_make", "_reactor", "_schedule")

    def __init__(self, spec: ReactorSpec, helpers: Helpers, schedule: Callable[[ReactorCell[Any]], None]) -> None:
        super().__init__(spec)
        self._make = spec.make
        self._helpers = helpers
        self._schedule = schedule
        self._reactor: Reactor[M] | None = None
        self._beside: set[Piped] = set()
        self._ended: Exit | None = None
        self._exited: Flag | None = None

    # ------------------------------------------------------------- running

    def begin(self) -> None:
        """Start the next incarnation; from now on mail is scheduled."""
        self._next(None)
        self._ended = None
        try:
            self._reactor = self._make()
            self._reactor.begin(ReactorContext(self))
        except Exception as error:  # a crash of this incarnation: the supervisor decides
            self._over(error)
        else:
            self.mailbox.on_mail(self._mail)

    def step(self) -> Exit | None:
        """Handle what has come in. How the incarnation ended, once it has and its side tasks have, too."""
        if self._ended is None:
            self._react()
            if self._ended is None:
                return None
        if self._beside or self.state != "running":
            return None
        self._reactor = None
        self._end(self._ended.crash)
        if self._exited is not None:
            self._exited.set()
        return self._ended

    def _react(self) -> None:
        mailbox = self.mailbox
        assert self._reactor is not None
        if mailbox.stopping:
            self._over(None)
            return
        try:
            goes_on = self._reactor.react(mailbox.take(BATCH, self.unanswered))
        except Exception as error:  # a crash of this incarnation: the supervisor decides
            self._over(error)
            return
        if goes_on:
            mailbox.on_mail(self._mail)
        else:
            self._over(None)

    def _mail(self) -> None:
        self._schedule(self)

    def _over(self, crash: Exception | None) -> None:
        """No more calls; what runs beside it is cancelled and awaited."""
        self._ended = Exit(crash, stopped=self.mailbox.stopping)
        for piped in self._beside:
            piped.cancel()
        self._schedule(self)

    # ----------------------------------------------------------- side work

    def pipe(self, to: Callable[[Any], M], fn: Callable[..., Awaitable[Any]], args: Any, timeout: float) -> None:
        """Start side work of this incarnation."""
        piped = Piped(self, to, fn, args, timeout)
        self._beside.add(piped)
        self._helpers.take(piped)

    def told(self, message: M) -> None:
        """Take the result of side work; drop it once the incarnation has ended."""
        if self._ended is None:
            self.mailbox.put_signal(message)

    def crash(self, error: Exception) -> None:
        """Side work has crashed, and the incarnation with it: the supervisor decides."""
        if self._ended is None:
            self._over(error)

    def done_beside(self, piped: Piped) -> None:
        """Side work has ended."""
        self._beside.discard(piped)
        if self._ended is not None and not self._beside:
            self._schedule(self)

    # ------------------------------------------------------------ stopping

    def retire(self) -> None:
        """Also ends the incarnation that its dispatcher did not come to end."""
        if self.state == "running":
            self._end(None)
        super().retire()

    def kill(self) -> None:
        """End it between two calls."""
        self.mailbox.stop()

    async def stop(self) -> None:
        """End it between two calls, and wait for its side tasks. The dispatcher must be running."""
        if self.state == "running":
            self._exited = self._exited or Flag()
            self.mailbox.stop()
            await self._exited.wait()


class Piped(Work):
    """Side work of a reactor, and what is made of its result."""

    __slots__ = ("_cell", "_to")

    def __init__(
        self,
        cell: ReactorCell[Any],
        to: Callable[[Any], Any],
        fn: Callable[..., Awaitable[Any]],
        args: Any,
        timeout: float,
    ) -> None:
        super().__init__(fn, args, timeout)
        self._cell = cell
        self._to = to

    def over(self, result: Any) -> None:
        """Tell the reactor."""
        if not self.cancelled:
            self._cell.told(self._to(result))
        self._cell.done_beside(self)

    def crashed(self, error: Exception) -> None:
        """The incarnation crashes, too."""
        self._cell.crash(error)
        self._cell.done_beside(self)

    def dropped(self) -> None:
        """Nobody is there to be told."""
        self._cell.done_beside(self)
