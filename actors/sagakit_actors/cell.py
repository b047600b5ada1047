"""The cell: what an actor is to the runtime. It keeps the mailbox while incarnations come and go."""

from __future__ import annotations

from collections.abc import Callable
from logging import getLogger
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import trio

from sagakit_actors.actor import Actor, Context
from sagakit_actors.current import running_cell
from sagakit_actors.errors import ActorDied, Stopped
from sagakit_actors.mailbox import Mailbox, Overflow
from sagakit_actors.messages import Down
from sagakit_actors.ref import Ref
from sagakit_actors.reply import Reply

M = TypeVar("M")

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
"""When a child that has ended is started again: always, after a crash, never."""
State: TypeAlias = Literal["new", "running", "restarting", "gone"]

_log = getLogger("sagakit_actors")


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


class Exit(NamedTuple):
    """How an incarnation ended: `crash` is None if in good order; `stopped` if because it was asked to."""

    crash: Exception | None
    stopped: bool

    def restarts(self, restart: Restart) -> bool:
        """Whether a child with this restart type is to be started again."""
        if self.stopped or restart == "temporary":
            return False
        return restart == "permanent" or self.crash is not None


class Cell(Generic[M]):
    """One child through all its incarnations."""

    __slots__ = (
        "_exited",
        "_scope",
        "awaiting",
        "incarnation",
        "is_ready",
        "mailbox",
        "name",
        "ready",
        "ref",
        "restarts",
        "spec",
        "state",
        "task",
        "unanswered",
        "watchers",
        "watching",
    )

    def __init__(self, spec: ChildSpec) -> None:
        self.spec: ChildSpec = spec
        self.name: str = spec.name
        self.mailbox: Mailbox[M] = Mailbox(capacity=spec.capacity, overflow=spec.overflow)
        self.ref: Ref[M] = Ref(self)
        self.incarnation: int = 0
        self.restarts: int = 0
        self.state: State = "new"
        self.ready: trio.Event = trio.Event()
        self.is_ready: bool = False
        self.task: trio.lowlevel.Task | None = None
        self.awaiting: Cell[Any] | None = None
        self.unanswered: set[Reply[Any]] = set()
        self.watchers: dict[Cell[Any], None] = {}
        self.watching: set[Cell[Any]] = set()
        self._scope: trio.CancelScope | None = None
        self._exited = trio.Event()

    # ------------------------------------------------------------- running

    async def incarnate(self) -> Exit:
        """Run one incarnation to its end. Raises only what is not an Exception, and the caller's own cancellation."""
        self._begin()
        crash: Exception | None = None
        try:
            await self._live(self.spec.make())
        except Stopped:
            pass
        except BaseExceptionGroup as group:
            crash = self._crash_in(group)
        except Exception as error:  # a crash of this incarnation: the supervisor decides
            crash = error
        finally:
            self._end(crash)
        if crash is not None:
            _log.error("%s #%d crashed", self.name, self.incarnation, exc_info=crash)
        killed = self._scope is not None and self._scope.cancelled_caught
        self._scope = None
        return Exit(crash, stopped=self.mailbox.stopping or killed)

    async def _live(self, actor: Actor[M]) -> None:
        if not actor.tasks:
            with trio.CancelScope() as self._scope:
                await actor.run(Context(self, None))
            return
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            await actor.run(Context(self, nursery))
            if nursery.child_tasks:
                nursery.cancel_scope.cancel()

    @staticmethod
    def _crash_in(group: BaseExceptionGroup[BaseException]) -> Exception | None:
        """What is left of a group without stops and cancellation."""
        _, rest = group.split(Stopped)
        if rest is None:
            return None
        if not isinstance(rest, ExceptionGroup):
            raise rest
        only: Exception = rest.exceptions[0] if len(rest.exceptions) == 1 else rest
        return only

    def _begin(self) -> None:
        self.incarnation += 1
        self.state = "running"
        self.task = trio.lowlevel.current_task()
        running_cell.set(self)
        self.renew()

    def renew(self) -> None:
        """Another incarnation is about to begin."""
        if self._exited.is_set():
            self.ready = trio.Event()
            self._exited = trio.Event()
            self.is_ready = False

    def _end(self, crash: Exception | None) -> None:
        self.state = "restarting"
        self.task = self.awaiting = None
        for reply in list(self.unanswered):
            reply.fail(ActorDied(f"{self.name} #{self.incarnation} ended before it answered"))
        notice = Down(self.ref, self.incarnation, crash)
        for watcher in self.watchers:
            watcher.mailbox.put_signal(notice)
        self._exited.set()

    def retire(self) -> None:
        """It has gone for good: fail the asks that wait, refuse what comes."""
        self.state = "gone"
        self.watchers.clear()
        for watched in self.watching:
            watched.watchers.pop(self, None)
        self.watching.clear()
        for reply in self.mailbox.close():
            reply.fail(ActorDied(f"{self.name} has gone for good"))
        self._exited.set()

    # ------------------------------------------------------------ stopping

    async def until_ready(self) -> bool:
        """Wait until this incarnation is ready; False if it ended before."""
        ready, exited = self.ready, self._exited
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_then_cancel, ready, nursery)
            nursery.start_soon(_then_cancel, exited, nursery)
        return ready.is_set()

    def kill(self) -> None:
        """Cancel the running incarnation."""
        if self._scope is not None:
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
        self.mailbox.stopping = False

    # ------------------------------------------------------------ relations

    def waits_behind(self, target: Cell[Any]) -> bool:
        """Whether `target` is this cell, or waits for it, directly or through others."""
        seen: Cell[Any] | None = target
        while seen is not None and seen is not self:
            seen = seen.awaiting
        return seen is self

    def watch(self, target: Cell[Any]) -> None:
        """Be notified at each end of `target` from now on; at once if there will be none."""
        if target.state == "gone":
            self.mailbox.put_signal(Down(target.ref, target.incarnation, None))
        else:
            target.watchers[self] = None
            self.watching.add(target)

    def unwatch(self, target: Cell[Any]) -> None:
        """No more notices of `target`."""
        target.watchers.pop(self, None)
        self.watching.discard(target)


async def _then_cancel(event: trio.Event, nursery: trio.Nursery) -> None:
    await event.wait()
    nursery.cancel_scope.cancel()
