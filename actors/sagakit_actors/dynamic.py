"""A supervisor whose children come and go: restarts with backoff, the restart intensity per child."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from sagakit_actors.actor import Actor, ActorContext
from sagakit_actors.backoff import Backoff, Intensity
from sagakit_actors.cell import Cell, Exit
from sagakit_actors.errors import ActorGone, RestartIntensityExceeded, StopRequested, TooManyChildren
from sagakit_actors.helpers import Helpers
from sagakit_actors.reactor import Dispatcher, ReactorCell, ReactorSpec
from sagakit_actors.ref import Ref
from sagakit_actors.supervisor import ChildInfo, children_info
from sagakit_actors.tasks import ChildSpec, TaskCell

OnExit = Callable[[Ref[Any], "Exception | None"], None]
"""Told once when a child has gone for good, with its crash, if that was why."""


class _Trouble:
    """A child that has crashed before."""

    __slots__ = ("began", "failures", "window")

    def __init__(self, window: Intensity) -> None:
        self.window = window
        self.failures = 0
        self.began = 0.0


class DynamicSupervisor(Actor[None]):
    """Children that crash are restarted after a backoff; beyond `intensity` in `period` seconds that child alone goes.

    A run of more than `period` seconds resets a child's backoff. Stopping asks all at once and cancels who is left
    after the longest `shutdown`. Children are actors with a task each, or reactors, which share one.
    """

    tasks = True

    def __init__(
        self,
        *,
        backoff: Backoff,
        intensity: int = 3,
        period: float = 5.0,
        max_children: int = 100_000,
        on_exit: OnExit | None = None,
    ) -> None:
        self._backoff = backoff
        self._intensity = intensity
        self._period = period
        self._max_children = max_children
        self._on_exit = on_exit
        self._children: dict[str, Cell[Any]] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._nursery: trio.Nursery | None = None
        self._helpers: Helpers | None = None
        self._dispatcher = Dispatcher(self._reactor_ended)

    async def run(self, ctx: ActorContext[None]) -> None:
        """Until stopped; then stop the children."""
        self._nursery = ctx.nursery
        self._helpers = Helpers(ctx.nursery)
        self._dispatcher = Dispatcher(self._reactor_ended)
        ctx.nursery.start_soon(self._dispatcher.run)
        ctx.ready()
        try:
            while True:
                await ctx.receive()
        except StopRequested:
            await self._stop_all()
            raise
        finally:
            self._nursery = None
            for cell in list(self._children.values()):
                self._gone(cell, None)

    # ------------------------------------------------------------ children

    def start_child(self, spec: ChildSpec) -> Ref[Any]:
        """Start an actor and return at once. Raises TooManyChildren, ActorGone, ValueError (the name is taken)."""
        nursery = self._place_for(spec.name)
        cell: TaskCell[Any] = TaskCell(spec)
        self._children[spec.name] = cell
        nursery.start_soon(self._keep, cell)
        return cell.ref

    def start_reactor(self, spec: ReactorSpec) -> Ref[Any]:
        """Start a reactor; it has begun when this returns. Raises as `start_child`."""
        self._place_for(spec.name)
        assert self._helpers is not None, "it runs"
        cell: ReactorCell[Any] = ReactorCell(spec, self._helpers, self._dispatcher.schedule)
        self._children[spec.name] = cell
        cell.begin()
        return cell.ref

    def child(self, name: str) -> Ref[Any] | None:
        """The child of that name, if there is one."""
        cell = self._children.get(name)
        return cell.ref if cell is not None else None

    def which_children(self) -> list[ChildInfo]:
        """The children there are now."""
        return [children_info(cell) for cell in self._children.values()]

    def count_children(self) -> int:
        """How many there are now."""
        return len(self._children)

    def _place_for(self, name: str) -> trio.Nursery:
        if self._nursery is None:
            raise ActorGone("the supervisor does not run")
        if len(self._children) >= self._max_children:
            raise TooManyChildren(f"there are {len(self._children)} children already")
        if name in self._children:
            raise ValueError(f"a child named {name} runs already")
        return self._nursery

    # ------------------------------------------------------------ restarts

    async def _keep(self, cell: TaskCell[Any]) -> None:
        """One actor's lives."""
        while True:
            pause = self._pause_after(cell, await cell.incarnate())
            if pause is None:
                return
            await trio.sleep(pause)
            if cell.mailbox.stopping:
                self._gone(cell, None)
                return

    def _reactor_ended(self, cell: ReactorCell[Any], ended: Exit) -> None:
        pause = self._pause_after(cell, ended)
        if pause is not None and self._nursery is not None:
            self._nursery.start_soon(self._begin_again, cell, pause)

    async def _begin_again(self, cell: ReactorCell[Any], pause: float) -> None:
        await trio.sleep(pause)
        if cell.mailbox.stopping:
            self._gone(cell, None)
        else:
            cell.begin()

    def _pause_after(self, cell: Cell[Any], ended: Exit) -> float | None:
        """Seconds until the child is started again; None if it has gone for good."""
        if not ended.restarts(cell.spec.restart):
            self._gone(cell, ended.crash)
            return None
        trouble = self._troubles.get(cell.name)
        if trouble is None:
            trouble = self._troubles[cell.name] = _Trouble(Intensity(self._intensity, self._period))
        now = trio.current_time()
        trouble.failures = 1 if now - trouble.began > self._period else trouble.failures + 1
        if not trouble.window.allows(now):
            self._gone(cell, _exceeded(cell, trouble.window, ended))
            return None
        cell.restarts += 1
        pause = self._backoff.delay(trouble.failures)
        trouble.began = now + pause
        return pause

    def _gone(self, cell: Cell[Any], crash: Exception | None) -> None:
        if self._children.get(cell.name) is cell:
            del self._children[cell.name]
            self._troubles.pop(cell.name, None)
            cell.retire()
            if self._on_exit is not None:
                self._on_exit(cell.ref, crash)

    # ---------------------------------------------------------------- stop

    async def _stop_all(self) -> None:
        cells = list(self._children.values())
        for cell in cells:
            cell.mailbox.stop()
        with trio.move_on_after(max((cell.spec.shutdown for cell in cells), default=0.0)):
            async with trio.open_nursery() as nursery:
                for cell in cells:
                    nursery.start_soon(cell.stop)
        for cell in cells:
            cell.kill()


def _exceeded(cell: Cell[Any], window: Intensity, ended: Exit) -> RestartIntensityExceeded:
    error = RestartIntensityExceeded(f"{cell.name}: more than {window.limit} restarts within {window.period:g} s")
    error.__cause__ = ended.crash
    return error
