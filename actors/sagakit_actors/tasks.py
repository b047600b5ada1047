"""The cells of actors with a task each."""

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
    """The description of one child: how to make it, and when to start it again.

        ChildSpec("mailer", lambda: Mailer(smtp), restart="transient", shutdown=30.0)

    `make` is called for each incarnation, so that each one begins with fresh state.
    """

    name: str
    """Name under the supervisor, unique there."""
    make: Callable[[], Actor[Any]]
    """Makes the actor of each incarnation."""
    restart: Restart = "permanent"
    """Rule for starting the child again after its end."""
    shutdown: float = 5.0
    """Seconds from the request to stop until the child is cancelled."""
    capacity: int = 1000
    """Number of messages that the mailbox holds."""
    overflow: Overflow = "wait"
    """The policy of the mailbox when it is full."""


class TaskCell(Cell[M], Generic[M]):
    """A child whose incarnations are calls of `Actor.run`, each in the task that awaits `incarnate`."""

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
        """Run one incarnation to its end. Raises what is not an Exception, and the cancellation of the caller."""
        self._begin()
        crash: Exception | None = None
        try:
            await self._live(self._make())
        except StopRequested:
            pass
        except BaseExceptionGroup as group:  # a cancellation or a KeyboardInterrupt in it is raised again
            crash = self._crash_in(group)
        except Exception as error:  # a crash of this incarnation: the supervisor decides
            crash = error
        finally:
            self._end(crash)
        self._scope = None
        # Not `self._scope.cancelled_caught`: trio also cancels the scope of the nursery when a side task crashes, and
        # that is a crash, after which the child is started again.
        return Exit(crash, stopped=self.mailbox.stopping or self._killed)

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
        """Return the crash in a group: its only error, or the group without its StopRequested. None if none is left."""
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
        running_cell.set(self)  # in this task's context; side tasks copy it, and `asking_cell` tells them apart
        self.renew()

    def renew(self) -> None:
        """Prepare the flags for another incarnation. Does nothing before the first one."""
        if self._exited.is_set:
            self.ready, self._exited = Flag(), Flag()

    def _end(self, crash: Exception | None) -> None:
        super()._end(crash)
        self._exited.set()

    def retire(self) -> None:
        """Make the end final, as `Cell.retire`, and wake the tasks that wait for the exit."""
        super().retire()
        self._exited.set()

    # ------------------------------------------------------------ stopping

    async def until_ready(self) -> bool:
        """Wait until this incarnation is ready, and return True; return False if it ended before."""
        ready, exited = self.ready, self._exited  # of this incarnation: `renew` replaces them
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
        """Request the end, cancel after `shutdown` seconds, and wait for the end in any case."""
        if self.state != "running":
            return
        self.mailbox.stop()
        with trio.move_on_after(self.spec.shutdown):
            await self._exited.wait()
            return
        self.kill()
        await self._exited.wait()

    def revive(self) -> None:
        """Take messages again: a child that was stopped is about to be started again."""
        self.mailbox.stopping = self.mailbox.closed = False


async def _then_cancel(event: Flag, nursery: trio.Nursery) -> None:
    await event.wait()
    nursery.cancel_scope.cancel()
