"""Supervisors with a fixed list of children. The rules are OTP's; each is tested against a small model.

Start in order, each once the one before is ready; stop in reverse. When a child ends and its restart type says so, the
strategy decides who is started again with it. More than `intensity` restarts within `period` seconds: stop all and
crash with RestartIntensityExceeded, so that the parent decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger
from typing import Any, Literal, NamedTuple, TypeAlias

import trio

from sagakit_actors.actor import Actor, ActorContext
from sagakit_actors.backoff import Intensity
from sagakit_actors.cell import Cell, Exit, State
from sagakit_actors.errors import RestartIntensityExceeded, StartFailed, StopRequested
from sagakit_actors.notices import Down
from sagakit_actors.ref import Ref
from sagakit_actors.tasks import ChildSpec, TaskCell

Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one"]

_log = getLogger("sagakit_actors")


class ChildInfo(NamedTuple):
    """One child, for people and tools. `waiting` and `dropped` count the messages of its mailbox."""

    name: str
    ref: Ref[Any]
    state: State
    incarnation: int
    restarts: int
    waiting: int
    dropped: int


class ChildEnded(NamedTuple):
    """A child's incarnation has ended: from its task to the supervisor."""

    cell: TaskCell[Any]
    incarnation: int
    exit: Exit


class Supervisor(Actor[ChildEnded]):
    """Keeps `children` alive. Itself an actor, so that trees nest."""

    tasks = True

    def __init__(
        self, strategy: Strategy, children: Sequence[ChildSpec], *, intensity: int = 3, period: float = 5.0
    ) -> None:
        names = [spec.name for spec in children]
        if len(set(names)) != len(names):
            raise ValueError(f"two children have the same name: {', '.join(names)}")
        self._strategy: Strategy = strategy
        self._cells: list[TaskCell[Any]] = [TaskCell(spec) for spec in children]
        self._window = Intensity(intensity, period)

    # --------------------------------------------------------------- faces

    def ref(self, name: str) -> Ref[Any]:
        """The child of that name. Raises KeyError."""
        return next(cell.ref for cell in self._cells if cell.name == name)

    def which_children(self) -> list[ChildInfo]:
        """The children, in order."""
        return [children_info(cell) for cell in self._cells]

    # ---------------------------------------------------------------- life

    async def run(self, ctx: ActorContext[ChildEnded]) -> None:
        """Start all, then mind them; on the way out stop all in reverse."""
        try:
            await self._start(ctx, self._cells)
            ctx.ready()
            while True:
                notice = await ctx.receive()
                if not isinstance(notice, Down):
                    await self._on_ended(ctx, notice)
        except (StopRequested, RestartIntensityExceeded, StartFailed):
            await self._stop(self._cells)
            raise
        finally:
            for cell in self._cells:
                cell.retire()

    async def _start(self, ctx: ActorContext[ChildEnded], cells: Sequence[TaskCell[Any]]) -> None:
        """Start in order. Raises StartFailed with those before still running."""
        for cell in cells:
            cell.revive()
            cell.renew()
            ctx.nursery.start_soon(self._keep, ctx.ref, cell)
            await trio.lowlevel.checkpoint()
            if not await cell.until_ready():
                raise StartFailed(f"{cell.name} ended before it was ready")

    async def _keep(self, supervisor: Ref[ChildEnded], cell: TaskCell[Any]) -> None:
        ended = await cell.incarnate()
        if supervisor.alive:
            await supervisor.tell(ChildEnded(cell, cell.incarnation, ended))

    @staticmethod
    async def _stop(cells: Sequence[TaskCell[Any]]) -> None:
        for cell in reversed(cells):
            await cell.stop()

    async def _on_ended(self, ctx: ActorContext[ChildEnded], notice: ChildEnded) -> None:
        cell = notice.cell
        if notice.incarnation != cell.incarnation:
            return  # an incarnation before the present one
        if not notice.exit.restarts(cell.spec.restart):
            if not notice.exit.stopped:
                cell.retire()  # an end that stands, unless a sibling's crash has it started again
            return
        failed: Sequence[TaskCell[Any]] = [cell]
        while failed:
            if not self._window.allows(trio.current_time()):
                raise RestartIntensityExceeded(
                    f"more than {self._window.limit} restarts within {self._window.period:g} s, last of {cell.name}"
                ) from notice.exit.crash
            failed = await self._restart(ctx, cell)

    async def _restart(self, ctx: ActorContext[ChildEnded], cell: TaskCell[Any]) -> Sequence[TaskCell[Any]]:
        """Restart `cell` and whoever the strategy restarts with it; returns who failed, to be counted again."""
        position = self._cells.index(cell)
        start = {"one_for_one": position, "rest_for_one": position, "one_for_all": 0}[self._strategy]
        end = position + 1 if self._strategy == "one_for_one" else len(self._cells)
        await self._stop([other for other in self._cells[start:end] if other is not cell])
        again = [
            other for other in self._cells[start:end] if other is cell or other.spec.restart != "temporary"
        ]  # fmt: skip
        for other in self._cells[start:end]:
            if other in again:
                other.restarts += 1
            else:
                other.retire()
        try:
            await self._start(ctx, again)
        except StartFailed as error:
            _log.warning("restart failed: %s", error)
            return [cell]
        return []


def children_info(cell: Cell[Any]) -> ChildInfo:
    """What there is to know of a child."""
    mailbox = cell.mailbox
    return ChildInfo(cell.name, cell.ref, cell.state, cell.incarnation, cell.restarts, len(mailbox), mailbox.dropped)
