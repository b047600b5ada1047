"""Actors with a task of their own: the cell that runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import trio

from sagakit_actors.actor import Actor, ActorContext
from sagakit_actors.cell import Cell, Exit, Restart
from sagakit_actors.current import running_cell
from sagakit_actors.errors import StopRequested
from sagakit_actors.flag import Flag
from sagakit_actors.mailbox import Overflow

M = TypeVar("M")


class ChildSpec(NamedTuple):
    """How to make and keep one child.

    `make` is called for each incarnation. `shutdown` is seconds from the request to stop until it is cancelled.
    """

    name: str
    make: Callable[[], Actor[Any]]
    restart: Restart = "permanent"
    shutdown: float = 5.0
    capacity: int = 1000
    overflow: Overflow = "wait"


class TaskCell(Cell[M], Generic[M]):
    """A child whose incarnations each are one call of `Actor.run`, in the task that awaits `incarnate`."""

    __slots__ = ("_exited", "_killed", "_make", "_scope", "ready")

    def __init__(self, spec: ChildSpec) -> None:
        super().__init__(spec)
        self._make = spec.make
        self.ready: Flag = Flag()
        self._scope: trio.CancelScope | None = None
        self._killed = False
        self._exited = Flag()

    # ------------------------------------------------------------- running

    async def incarnate(self) -> Exit:
        """Run one incarnation to its end. Raises only what is not an Exception, and the caller's own cancellation."""
        self._begin()
        crash: Exception | None = None
        try:
            await self._live(self._make())
        except StopRequested:
            pass
        except BaseExceptionGroup as group:  # what is no crash is raised again
            crash = self._crash_in(group)
        except Exception as error:  # a crash of this incarnation: the supervisor decides
            crash = error
        finally:
            self._end(crash)
        self._scope = None
        return Exit(crash, stopped=self.mailbox.stopping or self._killed)  # a crash beside cancels the scope, too

    async def _live(self, actor: Actor[M]) -> None:
        if not actor.tasks:
            with trio.CancelScope() as self._scope:
                await actor.run(ActorContext(self, self.ready, None))
            return
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            await actor.run(ActorContext(self, self.ready, nursery))
            if nursery.child_tasks:
                nursery.cancel_scope.cancel()

    @staticmethod
    def _crash_in(group: BaseExceptionGroup[BaseException]) -> Exception | None:
        """What is left of a group without stops and cancellation."""
        _, rest = group.split(StopRequested)
        if rest is None:
            return None
        if not isinstance(rest, ExceptionGroup):
            raise rest
        only: Exception = rest.exceptions[0] if len(rest.exceptions) == 1 else rest
        return only

    def _begin(self) -> None:
        self._next(trio.lowlevel.current_task())
        self._killed = False
        running_cell.set(self)
        self.renew()

    def renew(self) -> None:
        """Another incarnation is about to begin."""
        if self._exited.is_set:
            self.ready, self._exited = Flag(), Flag()

    def _end(self, crash: Exception | None) -> None:
        super()._end(crash)
        self._exited.set()

    def retire(self) -> None:
        """Also lets those go on who wait for its exit."""
        super().retire()
        self._exited.set()

    # ------------------------------------------------------------ stopping

    async def until_ready(self) -> bool:
        """Wait until this incarnation is ready; False if it ended before."""
        ready, exited = self.ready, self._exited
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_then_cancel, ready, nursery)
            nursery.start_soon(_then_cancel, exited, nursery)
        return ready.is_set

    def kill(self) -> None:
        """Cancel the running incarnation."""
        if self._scope is not None:
            self._killed = True
            self._scope.cancel()

    async def stop(self) -> None:
        """Ask, wait `shutdown` seconds, cancel, and still wait for the end."""
        if self.state != "running":
            return
        self.mailbox.stop()
        with trio.move_on_after(self.spec.shutdown):
            await self._exited.wait()
            return
        self.kill()
        await self._exited.wait()

    def revive(self) -> None:
        """A stopped child is to be started again: it takes messages again."""
        self.mailbox.stopping = self.mailbox.closed = False


async def _then_cancel(event: Flag, nursery: trio.Nursery) -> None:
    await event.wait()
    nursery.cancel_scope.cancel()
