"""Supervisors with a fixed list of children. The rules are those of Erlang's OTP, and a small model tests each of them.

Children start in order, each one after the one before is ready, and stop in reverse order. When a child ends that its
restart type starts again, the strategy says which siblings are started again with it. After more than `intensity`
restarts within `period` seconds the supervisor stops all children and crashes, so that its own parent decides.
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
"""The children that are started again when one crashes: that one, all, or that one and those after it in the list."""

_log = getLogger("sagakit_actors")


class ChildInfo(NamedTuple):
    """The state of one child at one moment, for people and tools."""

    name: str
    """The child's name under its supervisor."""
    ref: Ref[Any]
    """The child's reference."""
    state: State
    """The child's state: `new`, `running`, `restarting` or `gone`."""
    incarnation: int
    """Number of the present or last incarnation; 0 before the first."""
    restarts: int
    """Number of times that the supervisor has started the child again."""
    waiting: int
    """Number of messages in its mailbox."""
    dropped: int
    """Number of messages that the policy of its mailbox has dropped."""


class ChildEnded(NamedTuple):
    """The message from a child's task to the supervisor that an incarnation has ended."""

    cell: TaskCell[Any]
    incarnation: int
    exit: Exit


class Supervisor(Actor[ChildEnded]):
    """A supervisor with a fixed list of children. It is itself an actor, so supervisors nest:

        database = Supervisor("rest_for_one", [ChildSpec("pool", Pool), ChildSpec("writer", Writer)])
        root = Supervisor("one_for_one", [ChildSpec("database", lambda: database), ChildSpec("web", Web)])

    Raises ValueError when two children have the same name. A child that ends before it is ready is a StartFailed: the
    supervisor stops the children that run, and crashes with it.
    """

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
        """Return the child of that name. Raises KeyError."""
        for cell in self._cells:
            if cell.name == name:
                return cell.ref
        raise KeyError(name)

    def which_children(self) -> list[ChildInfo]:
        """Return the state of each child, in the order of the list."""
        return [children_info(cell) for cell in self._cells]

    # ---------------------------------------------------------------- life

    async def run(self, ctx: ActorContext[ChildEnded]) -> None:
        """Start the children in order, keep them alive, and stop them in reverse order at the end."""
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
        """Start children in order. Raises StartFailed; the children before that one run on."""
        for cell in cells:
            cell.revive()
            cell.renew()  # before `until_ready`, which must not see the flags of the incarnation before
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
            # The child crashed while a sibling's crash had it restarted: this notice was already in the mailbox, and it
            # is about the incarnation before the present one. Counting it would restart a healthy child.
            return
        if not notice.exit.restarts(cell.spec.restart):
            if not notice.exit.stopped:
                cell.retire()  # the end is final, unless a sibling's crash starts this child again (`revive`)
            return
        # A restart that fails counts like another crash. Each turn of this loop adds to the window, so it ends.
        failed: Sequence[TaskCell[Any]] = [cell]
        while failed:
            if not self._window.allows(trio.current_time()):
                raise RestartIntensityExceeded(
                    f"more than {self._window.limit} restarts within {self._window.period:g} s, last of {cell.name}"
                ) from notice.exit.crash
            failed = await self._restart(ctx, cell)

    async def _restart(self, ctx: ActorContext[ChildEnded], cell: TaskCell[Any]) -> Sequence[TaskCell[Any]]:
        """Restart `cell` and the siblings that the strategy names. Return [cell] if that failed: it counts again."""
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
            _log.warning("a restart failed: %s", error)
            return [cell]
        return []


def children_info(cell: Cell[Any]) -> ChildInfo:
    """Return the state of a child."""
    mailbox = cell.mailbox
    return ChildInfo(cell.name, cell.ref, cell.state, cell.incarnation, cell.restarts, len(mailbox), mailbox.dropped)
