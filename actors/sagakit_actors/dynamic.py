"""A supervisor whose children come and go. It restarts each child after a backoff, within a limit for each child."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import trio

from sagakit_actors.actor import Actor, ActorContext
from sagakit_actors.backoff import Backoff, Intensity
from sagakit_actors.cell import Cell, Exit
from sagakit_actors.errors import ActorGone, RestartIntensityExceeded, StopRequested, TooManyChildren
from sagakit_actors.helpers import Helpers
from sagakit_actors.notices import Down
from sagakit_actors.reactor import Dispatcher, ReactorCell, ReactorSpec
from sagakit_actors.ref import Ref
from sagakit_actors.supervisor import ChildInfo, children_info
from sagakit_actors.tasks import ChildSpec, TaskCell

OnExit = Callable[[Ref[Any], "Exception | None"], None]
"""Called once when a child has gone for good, with the crash that ended it, or None."""


class _Trouble:
    """The record of a child that has been started again before."""

    __slots__ = ("began", "failures", "window")

    def __init__(self, window: Intensity) -> None:
        self.window = window
        self.failures = 0
        """Number of failures in a row."""
        self.began = 0.0
        """The time of trio's clock at which its last incarnation began."""


class _AllChildren:
    """All present children, as one watcher: thousands of children that watch an actor cost no more than one."""

    def __init__(self, children: Mapping[str, Cell[Any]]) -> None:
        self._children = children
        self.watching: dict[Cell[Any], None] = {}

    def notify(self, notice: Down) -> None:
        for cell in list(self._children.values()):
            cell.notify(notice)


class DynamicSupervisor(Actor[None]):
    """A supervisor whose children are started and forgotten one by one, while the program runs.

    It has no strategy: children know nothing of each other. Start it under a `Supervisor`, and keep the object to start
    children:

        sessions = DynamicSupervisor(backoff=Backoff(initial_interval=0.1, max_interval=10.0))
        root = Supervisor("one_for_one", [ChildSpec("sessions", lambda: sessions)])
        async with open_system(root):
            ref = sessions.start_child(ChildSpec("session-7", Session, restart="transient"))
            await ref.tell("hello")

    A child that its restart type starts again waits for the `backoff` first. After a run of more than `period` seconds
    its backoff begins anew. A child that fails more than `intensity` times within `period` seconds goes for
    good, alone.

    A child is an actor with a task (`start_child`) or a reactor (`start_reactor`); all reactors share one task. It is
    forgotten when it has gone for good, and its name is free then. `on_exit(ref, crash)` is called at that moment.

    At a stop all children are asked at once. What is left after the longest `shutdown` among them is cancelled. All
    methods are for the trio thread and do not wait.
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
        self._everyone = _AllChildren(self._children)
        self._troubles: dict[str, _Trouble] = {}
        self._nursery: trio.Nursery | None = None
        self._helpers: Helpers | None = None
        self._dispatcher = Dispatcher(self._reactor_ended)

    async def run(self, ctx: ActorContext[None]) -> None:
        """Keep the children alive until a stop is requested, then stop them."""
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
        """Start an actor and return its reference at once, before the actor is ready.

        Raises TooManyChildren, ActorGone (the supervisor does not run), ValueError (a child has that name).
        """
        nursery = self._place_for(spec.name)
        cell: TaskCell[Any] = TaskCell(spec)
        self._children[spec.name] = cell
        nursery.start_soon(self._keep, cell)
        return cell.ref

    def start_reactor(self, spec: ReactorSpec) -> Ref[Any]:
        """Start a reactor, call its `begin`, and return its reference. Raises as `start_child`."""
        self._place_for(spec.name)
        assert self._helpers is not None, "_place_for has raised unless the supervisor runs"
        cell: ReactorCell[Any] = ReactorCell(spec, self._helpers, self._dispatcher.schedule)
        self._children[spec.name] = cell
        cell.begin()
        return cell.ref

    def watch_for_children(self, *refs: Ref[Any]) -> None:
        """Give each child, also each later one, a `Down` for each incarnation of these actors that ends from now on.

        To a child it is as if it had called `ctx.watch` at its start.
        """
        for ref in refs:
            ref._cell.add_watcher(self._everyone)

    def child(self, name: str) -> Ref[Any] | None:
        """Return the child of that name; None if there is none."""
        cell = self._children.get(name)
        return cell.ref if cell is not None else None

    def which_children(self) -> list[ChildInfo]:
        """Return the state of each child, oldest first."""
        return [children_info(cell) for cell in self._children.values()]

    def count_children(self) -> int:
        """Return the number of children, including those that wait for a restart."""
        return len(self._children)

    def _place_for(self, name: str) -> trio.Nursery:
        if self._nursery is None:
            raise ActorGone("the dynamic supervisor does not run: it has not started yet, or it has ended")
        if len(self._children) >= self._max_children:
            raise TooManyChildren(f"{name} was not started: there are {len(self._children)} children, the most allowed")
        if name in self._children:
            raise ValueError(f"a child named {name} exists: choose another name, or wait until it has gone")
        return self._nursery

    # ------------------------------------------------------------ restarts

    async def _keep(self, cell: TaskCell[Any]) -> None:
        """Run one incarnation of an actor after the other."""
        while True:
            pause = self._pause_after(cell, await cell.incarnate())
            if pause is None:
                return
            await trio.sleep(pause)
            # `stop` does nothing to a child that does not run, so a stop that came during the backoff is handled here.
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
        """Return the seconds until the child is started again; None if it has gone for good."""
        if not ended.restarts(cell.spec.restart):
            self._gone(cell, ended.crash)
            return None
        trouble = self._troubles.get(cell.name)
        if trouble is None:
            trouble = self._troubles[cell.name] = _Trouble(Intensity(self._intensity, self._period))
        now = trio.current_time()
        # `began` is in the future only until the backoff is over, so this is the length of the run that has just ended.
        trouble.failures = 1 if now - trouble.began > self._period else trouble.failures + 1
        if not trouble.window.allows(now):
            self._gone(cell, _exceeded(cell, trouble.window, ended))
            return None
        cell.restarts += 1
        pause = self._backoff.delay(trouble.failures)
        trouble.began = now + pause
        return pause

    def _gone(self, cell: Cell[Any], crash: Exception | None) -> None:
        """Forget a child. Does nothing the second time: a stop and the child's own end may both come here."""
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
