"""The port of the two kinds of tasks, asyncio's and trio's: a relay awaits nothing but its methods, and its starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol


class RelayEvent(Protocol):
    """A flag of one kind of tasks. Once set it stays set."""

    def set(self) -> object:
        """Wake the tasks that wait. For the loop's own thread."""
        ...

    async def wait(self) -> object:
        """Return once the flag is set."""
        ...


class RelayTasks(Protocol):
    """The primitives of the loop in which a relay runs. All but `soon` are for the loop's own thread."""

    def event(self) -> RelayEvent:
        """Return a new flag."""
        ...

    def soon(self, fn: Callable[[], object]) -> None:
        """Have the loop call `fn` soon. For any thread; does nothing once the loop has ended."""
        ...

    async def within(self, event: RelayEvent, seconds: float) -> None:
        """Return when the flag is set, or after so many seconds."""
        ...

    async def unhurried(self, event: RelayEvent, seconds: float) -> None:
        """Do the same as `within`, and finish that wait before a cancellation takes effect."""
        ...

    async def together(self, calls: Sequence[Callable[[], Awaitable[None]]], seconds: float) -> None:
        """Run coroutine functions at the same time, each begun before the next, and cancel them after `seconds`."""
        ...
