"""A supervisor whose children come and go: one task each, restarts with backoff, the restart intensity per child."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from sagakit_actors.actor import Actor, Context
from sagakit_actors.backoff import Backoff, Intensity
from sagakit_actors.cell import Cell, ChildSpec, Exit
from sagakit_actors.errors import ActorStopped, RestartIntensityExceeded, Stopped, TooManyChildren
from sagakit_actors.ref import Ref
from sagakit_actors.supervisor import ChildInfo, children_info

OnExit = Callable[[Ref[Any], "Exception | None"], None]
"""Told once when a child has gone for good, with its crash, if that was why."""


class DynamicSupervisor(Actor[None]):
    """Children that crash are restarted after a backoff; beyond `intensity` in `period` seconds that child alone goes.

    A run of more than `period` seconds resets a child's backoff. Stopping asks all at once and cancels who is left
    after the longest `shutdown`.
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
        self._nursery: trio.Nursery | None = None

    async def run(self, ctx: Context[None]) -> None:
        """Until stopped; then stop the children."""
        self._nursery = ctx.nursery
        ctx.ready()
        try:
            while True:
                await ctx.receive()
        except Stopped:
            await self._stop_all()
            raise
        finally:
            self._nursery = None
            for cell in list(self._children.values()):
                self._gone(cell, None)

    # ------------------------------------------------------------ children

    def start_child(self, spec: ChildSpec) -> Ref[Any]:
        """Start a child and return at once. Raises TooManyChildren, ActorStopped, ValueError (the name is taken)."""
        if self._nursery is None:
            raise ActorStopped("the supervisor does not run")
        if len(self._children) >= self._max_children:
            raise TooManyChildren(f"there are {len(self._children)} children already")
        if spec.name in self._children:
            raise ValueError(f"a child named {spec.name} runs already")
        cell: Cell[Any] = Cell(spec)
        self._children[spec.name] = cell
        self._nursery.start_soon(self._keep, cell)
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

    async def _keep(self, cell: Cell[Any]) -> None:
        """One child's lives."""
        window = Intensity(self._intensity, self._period)
        failures = 0
        while True:
            began = trio.current_time()
            ended = await cell.incarnate()
            if not ended.restarts(cell.spec.restart):
                break
            now = trio.current_time()
            failures = 1 if now - began > self._period else failures + 1
            if not window.allows(now):
                ended = Exit(_exceeded(cell, window, ended), stopped=False)
                break
            cell.restarts += 1
            await trio.sleep(self._backoff.delay(failures))
            if cell.mailbox.stopping:
                break
        self._gone(cell, ended.crash)

    def _gone(self, cell: Cell[Any], crash: Exception | None) -> None:
        if self._children.get(cell.name) is cell:
            del self._children[cell.name]
            cell.retire()
            if self._on_exit is not None:
                self._on_exit(cell.ref, crash)

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
