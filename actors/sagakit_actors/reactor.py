"""Reactors are actors without a task. A reactor costs the memory of its state, and a message costs one call.

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
"""Number of messages that one call of `react` gets at most."""
TURN = 256
"""Number of calls in a row after which other tasks get their turn."""


class Reactor(ABC, Generic[M]):
    """An incarnation of an actor that never waits. The library calls `react` with the messages that have come in.

    Side work that waits goes through `ReactorContext.pipe_to_self`, and its result comes back as a message:

        class Fetcher(Reactor[Message]):
            def begin(self, ctx: ReactorContext[Message]) -> None:
                self.ctx = ctx

            def react(self, messages: list[Message | Down]) -> bool:
                for message in messages:
                    if isinstance(message, Fetch):
                        self.ctx.pipe_to_self(Fetched, fetch, message.url, timeout=10.0)
                return True

    An exception from `begin` or `react` is a crash: the supervisor decides.
    """

    def begin(self, ctx: ReactorContext[M]) -> None:  # optional
        """Prepare for the first message."""

    @abstractmethod
    def react(self, messages: list[M | Down]) -> bool:
        """Handle the messages that have come in, death notices first. Return False to end in good order."""


@final
class ReactorContext(Surroundings[M]):
    """The context of a reactor. Use it until the incarnation has ended, and from the trio thread only."""

    __slots__ = ()
    _cell: ReactorCell[M]

    def promise(self) -> Reply[Any]:
        """Return a slot for an answer that this incarnation owes.

        It fails with ActorDied if the incarnation ends first, as if the answer had been asked for.
        """
        reply: Reply[Any] = Reply(self._cell.unanswered)
        self._cell.unanswered[reply] = None
        return reply

    def pipe_to_self(
        self, to: Callable[[R | None], M], fn: Callable[[*Ts], Awaitable[R]], *args: *Ts, timeout: float = inf
    ) -> None:
        """Run `await fn(*args)` beside the reactor, then send the reactor `to(result)`.

        After `timeout` seconds the work is cancelled, and `to(None)` is sent. An exception from the work or from `to`
        crashes the incarnation. When the incarnation ends, the work is cancelled, nothing is sent, and the next
        incarnation begins only after the work has ended.
        """
        self._cell.pipe(to, fn, args, timeout)


class ReactorSpec(NamedTuple):
    """The description of one reactor: how to make it, and when to start it again.

        ref = supervisor.start_reactor(ReactorSpec("order-7", lambda: Order("order-7"), restart="transient"))

    A reactor stops between two calls. Its side work is then cancelled.
    """

    name: str
    """Name under the supervisor, unique there."""
    make: Callable[[], Reactor[Any]]
    """Makes the reactor of each incarnation."""
    restart: Restart = "permanent"
    """Rule for starting the reactor again after its end."""
    shutdown: float = 5.0
    """Seconds that its side work gets to end after it was cancelled."""
    capacity: int = 1000
    """Number of messages that the mailbox holds."""
    overflow: Overflow = "wait"
    """The policy of the mailbox when it is full."""


class Dispatcher:
    """The task that calls reactors, in the order in which mail came for them. `ended` is called after each end."""

    def __init__(self, ended: Callable[[ReactorCell[Any], Exit], None]) -> None:
        self._ended = ended
        self._queue: deque[ReactorCell[Any]] = deque()
        self._task: trio.lowlevel.Task | None = None

    def schedule(self, cell: ReactorCell[Any]) -> None:
        """Call `cell.step` soon. Does nothing if that was requested already and has not begun."""
        if not cell.queued:
            cell.queued = True
            self._queue.append(cell)
            if self._task is not None:
                trio.lowlevel.reschedule(self._task)
                self._task = None

    async def run(self) -> None:
        """Call the scheduled reactors until cancelled. After `TURN` calls other tasks get their turn."""
        queue = self._queue
        while True:
            if queue:
                await trio.lowlevel.checkpoint()
            else:
                self._task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort)
            for _ in range(min(TURN, len(queue))):
                cell = queue.popleft()
                cell.queued = False
                exit_ = cell.step()
                if exit_ is not None:
                    self._ended(cell, exit_)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class ReactorCell(Cell[M], Generic[M]):
    """A reactor over all its incarnations. `schedule(cell)` requests a call of `step`."""

    __slots__ = ("_beside", "_ended", "_exited", "_helpers", "_make", "_reactor", "_schedule", "queued")

    def __init__(self, spec: ReactorSpec, helpers: Helpers, schedule: Callable[[ReactorCell[Any]], None]) -> None:
        super().__init__(spec)
        self._make = spec.make
        self._helpers = helpers
        self._schedule = schedule
        self._reactor: Reactor[M] | None = None
        self._beside: set[Work] = set()
        self._ended: Exit | None = None
        self._exited: Flag | None = None
        self.queued: bool = False
        """True while it waits for its turn: for the dispatcher alone."""
        self.mailbox.on_mail(schedule, self)

    # ------------------------------------------------------------- running

    def begin(self) -> None:
        """Begin the next incarnation, and schedule it if it has mail."""
        self._next(None)
        self._ended = None
        try:
            self._reactor = self._make()
            self._reactor.begin(ReactorContext(self))
        except Exception as error:  # a crash of this incarnation: the supervisor decides
            self.crash(error)
        else:
            if self.mailbox.has_mail():
                self._schedule(self)

    def step(self) -> Exit | None:
        """Handle the mail. Return the exit once the incarnation and its side work have ended, else None."""
        ended = self._ended
        if ended is None:
            reactor, mailbox = self._reactor, self.mailbox
            assert reactor is not None
            try:
                if not mailbox.stopping:
                    messages = mailbox.take(BATCH, self.unanswered)
                    if len(messages) == BATCH and mailbox.has_mail():
                        self._schedule(self)  # what is left was announced before
                    if reactor.react(messages):
                        return None
                ended = self._over(None)
            except Exception as error:  # a crash of this incarnation: the supervisor decides
                ended = self._over(error)
        # The end has two phases. After `_over` no call comes, but side work may still run: its last piece schedules
        # this cell again. Watchers and asks hear of the end only then, so that no work of an incarnation outlives it.
        # Mail schedules a cell also between two incarnations: then there is nothing to do, and the next one takes it.
        if self._beside or self.state != "running":
            return None
        self._reactor = None
        self._end(ended.crash)
        if self._exited is not None:
            self._exited.set()
        return ended

    def _over(self, crash: Exception | None) -> Exit:
        """Make no more calls, and cancel the side work. `step` reports the end when that work has ended."""
        self._ended = ended = Exit(crash, self.mailbox.stopping)
        for work in self._beside:
            work.cancel()
        return ended

    # ----------------------------------------------------------- side work

    def pipe(self, to: Callable[[Any], M], fn: Callable[..., Awaitable[Any]], args: Any, timeout: float) -> None:
        """Begin a piece of side work of this incarnation."""
        work = Work(self, to, fn, args, timeout)
        self._beside.add(work)
        self._helpers.take(work)

    def take_result(self, work: Work, result: Any) -> None:
        """Send the reactor the message that the work makes of its result, unless the incarnation has ended."""
        if self._ended is None:
            self.mailbox.put_signal(work.to(result))
        self.forget(work)

    def take_crash(self, work: Work, error: Exception) -> None:
        """Crash the incarnation, too."""
        self.crash(error)
        self.forget(work)

    def forget(self, work: Work) -> None:
        """Note that a piece of side work has ended."""
        self._beside.discard(work)
        if self._ended is not None and not self._beside:
            self._schedule(self)

    def crash(self, error: Exception) -> None:
        """End the incarnation outside of `step`, which is to report it. The supervisor decides."""
        if self._ended is None:
            self._over(error)
            self._schedule(self)

    # ------------------------------------------------------------ stopping

    def retire(self) -> None:
        """Make the end final, as `Cell.retire`."""
        # The supervisor may go before the dispatcher has reported the end of this incarnation.
        if self.state == "running":
            self._end(None)
        super().retire()

    def kill(self) -> None:
        """Request the end between two calls. A call that runs is not interrupted."""
        self.mailbox.stop()

    async def stop(self) -> None:
        """End the incarnation between two calls, and wait for its side work. The dispatcher must be running."""
        if self.state == "running":
            self._exited = self._exited or Flag()
            self.mailbox.stop()
            await self._exited.wait()
