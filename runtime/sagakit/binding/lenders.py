"""The part of a worker that calls of user code use: event loops, threads, quotas, and the way to child sagas."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import trio

from sagakit.binding.limiters import Limiters
from sagakit.engine import AttemptResult, Call, Record


class AsyncioCaller(Protocol):
    """Runs an asyncio coroutine function for a trio task; cancelling the trio task cancels the coroutine."""

    def __call__(self, fn: Callable[..., Awaitable[Any]], /, *args: Any) -> Awaitable[Any]: ...


Caller: TypeAlias = Callable[..., Awaitable[Any]]
"""Runs a plain function for a trio task."""


class ChildCaller(Protocol):
    """Starts and undoes child sagas."""

    async def call(self, call: Call, record: Record, child_type: str) -> AttemptResult:
        """Make one attempt to start or to undo a child, within its timeout."""
        ...


class CallEnvironment(Protocol):
    """The part of a worker's environment that calls of user code use."""

    @property
    def call_asyncio(self) -> AsyncioCaller:
        """Run a coroutine function on the asyncio loop."""
        ...

    @property
    def call_thread(self) -> Caller:
        """Run a plain function in a thread."""
        ...

    @property
    def limiters(self) -> Limiters:
        """The quotas of this worker."""
        ...

    @property
    def trio_token(self) -> trio.lowlevel.TrioToken:
        """The worker's trio loop, for heartbeats from other threads."""
        ...

    @property
    def children(self) -> ChildCaller:
        """The way to child sagas."""
        ...
