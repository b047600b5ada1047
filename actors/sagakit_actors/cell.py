"""The cell: what an actor is to the runtime. It keeps the mailbox while incarnations come and go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from logging import getLogger
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar
from weakref import ref as weakref

import trio

from sagakit_actors.errors import ActorDied
from sagakit_actors.mailbox import Mailbox, Overflow
from sagakit_actors.notices import Down
from sagakit_actors.ref import Ref
from sagakit_actors.reply import Reply

M = TypeVar("M")

Restart: TypeAlias = Literal["permanent", "transient", "temporary"]
"""When a child that has ended is started again: always, after a crash, never."""
State: TypeAlias = Literal["new", "running", "restarting", "gone"]

_log = getLogger("sagakit_actors")


class Spec(Protocol):
    """The options of a child that every kind of cell needs. `shutdown` in seconds."""

    @property
    def name(self) -> str: ...
    @property
    def restart(self) -> Restart: ...
    @property
    def shutdown(self) -> float: ...
    @property
    def capacity(self) -> int: ...
    @property
    def overflow(self) -> Overflow: ...


class Exit(NamedTuple):
    """How an incarnation ended: `crash` is None if in good order; `stopped` if because it was asked to."""

    crash: Exception | None
    stopped: bool

    def restarts(self, restart: Restart) -> bool:
        """Return whether a child with this restart type is started again."""
        if self.stopped or restart == "temporary":
            return False
        return restart == "permanent" or self.crash is not None


class Cell(ABC, Generic[M]):
    """One child through all its incarnations, whichever way they run."""

    __slots__ = (
        "_ref",
        "awaiting",
        "incarnation",
        "mailbox",
        "name",
        "restarts",
        "spec",
        "state",
        "task",
        "unanswered",
        "watchers",
        "watching",
    )

    def __init__(self, spec: Spec) -> None:
        self.spec: Spec = spec
        self.name: str = spec.name
        self.mailbox: Mailbox[M] = Mailbox(capacity=spec.capacity, overflow=spec.overflow)
        self._ref: weakref[Ref[M]] | None = None
        self.incarnation: int = 0
        self.restarts: int = 0
        self.state: State = "new"
        self.task: trio.lowlevel.Task | None = None
        self.awaiting: Cell[Any] | None = None
        self.unanswered: dict[Reply[Any], None] = {}
        self.watchers: dict[Cell[Any], None] = {}
        self.watching: dict[Cell[Any], None] = {}

    @property
    def ref(self) -> Ref[M]:
        """The reference: one and the same as long as anybody holds it.

        Held here weakly, so that a cell that has gone is freed at once, not by the garbage collector.
        """
        found = self._ref() if self._ref is not None else None
        if found is None:
            found = Ref(self)
            self._ref = weakref(found)
        return found

    # ----------------------------------------------------------------- life

    def _next(self, task: trio.lowlevel.Task | None) -> None:
        """The next incarnation begins; `task` is what would stand still while it asks."""
        self.incarnation += 1
        self.state = "running"
        self.task = task

    def _end(self, crash: Exception | None) -> None:
        """This incarnation is over: fail the asks that it took, notify who watches."""
        self.state = "restarting"
        self.task = self.awaiting = None
        for reply in list(self.unanswered):
            reply.fail(ActorDied(f"{self.name} #{self.incarnation} ended before it answered"))
        if self.watchers:
            notice = Down(self.ref, self.incarnation, crash)
            for watcher in self.watchers:
                watcher.mailbox.put_signal(notice)
        if crash is not None:
            _log.error("%s #%d crashed", self.name, self.incarnation, exc_info=crash)

    def retire(self) -> None:
        """It has gone for good: fail the asks that wait, refuse what comes."""
        self.state = "gone"
        self.watchers.clear()
        for watched in self.watching:
            watched.watchers.pop(self, None)
        self.watching.clear()
        for reply in self.mailbox.close():
            reply.fail(ActorDied(f"{self.name} has gone for good"))

    @abstractmethod
    async def stop(self) -> None:
        """Ask the incarnation to end, see to it that it does, and wait for it. Nothing to do if none runs."""

    @abstractmethod
    def kill(self) -> None:
        """Cancel the running incarnation."""

    # ------------------------------------------------------------ relations

    def waits_behind(self, target: Cell[Any]) -> bool:
        """Return whether `target` is this cell, or waits for it, directly or through others."""
        seen: Cell[Any] | None = target
        while seen is not None and seen is not self:
            seen = seen.awaiting
        return seen is self

    def add_watcher(self, watcher: Cell[Any]) -> None:
        """Notify a watcher at each end of this cell from now on; at once if there will be none."""
        if self.state == "gone":
            watcher.mailbox.put_signal(Down(self.ref, self.incarnation, None))
        else:
            self.watchers[watcher] = None
            watcher.watching[self] = None

    def remove_watcher(self, watcher: Cell[Any]) -> None:
        """Send a watcher no more notices."""
        self.watchers.pop(watcher, None)
        watcher.watching.pop(self, None)
