"""The cell is one child over all its incarnations. It keeps the mailbox while incarnations come and go."""

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
"""Rule for starting a child again after its end: always, after a crash, never."""
State: TypeAlias = Literal["new", "running", "restarting", "gone"]
"""The state of a child. `restarting` is between two incarnations, `gone` is final."""

_log = getLogger("sagakit_actors")


class Spec(Protocol):
    """The options that every kind of cell needs. `shutdown` is in seconds, `capacity` in messages."""

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
    """The end of an incarnation: `crash` is its exception or None; `stopped` is True if it ended on request."""

    crash: Exception | None
    stopped: bool

    def restarts(self, restart: Restart) -> bool:
        """Return True if a child with this restart type is started again."""
        if self.stopped or restart == "temporary":
            return False
        return restart == "permanent" or self.crash is not None


class Watcher(Protocol):
    """A watcher: it is told of the ends of actors."""

    watching: dict[Cell[Any], None]
    """The cells that it watches."""

    def notify(self, notice: Down) -> None:
        """Take the notice that an incarnation of a watched actor has ended."""
        ...


class Cell(ABC, Generic[M]):
    """A child over all its incarnations. Subclasses say how an incarnation runs."""

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
        self.mailbox: Mailbox[M] = Mailbox(spec.capacity, spec.overflow)
        self._ref: weakref[Ref[M]] | None = None
        self.incarnation: int = 0
        self.restarts: int = 0
        self.state: State = "new"
        self.task: trio.lowlevel.Task | None = None
        """The task that handles messages; None between incarnations, and for reactors."""
        self.awaiting: Cell[Any] | None = None
        """The cell whose answer this actor waits for, in its main task."""
        self.unanswered: dict[Reply[Any], None] = {}
        """The asks that this incarnation has taken and not answered. A dict, so that they fail in order."""
        self.watchers: dict[Watcher, None] = {}
        self.watching: dict[Cell[Any], None] = {}

    @property
    def ref(self) -> Ref[M]:
        """The reference of this child: the same object for as long as any code holds it."""
        # The reference points to the cell. If the cell pointed back, the two would be a cycle, and a cell that has gone
        # would wait for the garbage collector. With thousands of short-lived children that costs memory and pauses.
        found = self._ref() if self._ref is not None else None
        if found is None:
            found = Ref(self)
            self._ref = weakref(found)
        return found

    # ----------------------------------------------------------------- life

    def _next(self, task: trio.lowlevel.Task | None) -> None:
        """Begin the next incarnation. `task` is the task that handles its messages, if it has one."""
        self.incarnation += 1
        self.state = "running"
        self.task = task

    def _end(self, crash: Exception | None) -> None:
        """End this incarnation: fail the asks that it took, notify its watchers, log a crash."""
        self.state = "restarting"
        self.task = self.awaiting = None
        # Asks that wait in the mailbox are not in `unanswered`: the next incarnation answers them.
        for reply in list(self.unanswered):  # a copy: each `fail` removes its reply from the dict
            reply.fail(ActorDied(f"{self.name} #{self.incarnation} ended before it answered"))
        if self.watchers:
            notice = Down(self.ref, self.incarnation, crash)
            for watcher in self.watchers:
                watcher.notify(notice)
        if crash is not None:
            _log.error("%s #%d crashed", self.name, self.incarnation, exc_info=crash)

    def retire(self) -> None:
        """Make the end final: fail the asks that wait in the mailbox, and refuse new messages."""
        self.state = "gone"
        self.watchers.clear()
        if self.watching:
            for watched in self.watching:
                watched.watchers.pop(self, None)
            self.watching.clear()
        for reply in self.mailbox.close():
            reply.fail(ActorDied(f"{self.name} has gone for good"))

    @abstractmethod
    async def stop(self) -> None:
        """Request the end of the running incarnation and wait for it. Does nothing if none runs."""

    @abstractmethod
    def kill(self) -> None:
        """Cancel the running incarnation."""

    # ------------------------------------------------------------ relations

    def waits_behind(self, target: Cell[Any]) -> bool:
        """Return True if `target` is this cell, or waits for it, directly or through others."""
        # An actor waits for one answer at a time, so `awaiting` is a chain and not a graph. The chain has an end: `ask`
        # calls this before it adds a link, and refuses the link that would close a cycle. Nothing else runs between the
        # call and the new link, since both happen in one task without a checkpoint.
        seen: Cell[Any] | None = target
        while seen is not None and seen is not self:
            seen = seen.awaiting
        return seen is self

    def notify(self, notice: Down) -> None:
        """Take the notice that an incarnation of a watched actor has ended."""
        self.mailbox.put_signal(notice)

    def add_watcher(self, watcher: Watcher) -> None:
        """Notify `watcher` at each end of an incarnation from now on; at once if this cell has gone for good."""
        if self.state == "gone":
            watcher.notify(Down(self.ref, self.incarnation, None))
        else:
            self.watchers[watcher] = None
            watcher.watching[self] = None

    def remove_watcher(self, watcher: Watcher) -> None:
        """Stop notifying `watcher`."""
        self.watchers.pop(watcher, None)
        watcher.watching.pop(self, None)
