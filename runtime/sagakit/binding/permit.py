"""Permission to make one call. The saga may revoke it until the call starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import trio

from sagakit.binding.thread_calls import running
from sagakit.errors import SagakitError

P = ParamSpec("P")
R = TypeVar("R")


class CallRevoked(SagakitError):
    """The saga turned back before the call was made."""


class CallPermit:
    """The permit of attempt number `call` of a step. The first of `use`, from any thread, and `revoke` decides."""

    __slots__ = ("_first", "call", "queue")

    def __init__(self, call: int) -> None:
        self.call: int = call
        self.queue: trio.CancelScope | None = None
        """The scope in which the call waits for its turn and is made; cancelled if the permit is revoked before."""
        self._first: dict[str, bool] = {}

    def is_revoked(self) -> bool:
        """Return whether the call was revoked before it was made."""
        return self._first.get("used") is False

    def use(self) -> None:
        """Note that the call is about to be made. May be repeated. Raises CallRevoked."""
        if not self._first.setdefault("used", True):  # dict.setdefault is atomic, so one side wins
            raise CallRevoked

    def revoke(self) -> None:
        """Prevent the call, unless it was made already. Only for the trio thread."""
        if not self._first.setdefault("used", False) and self.queue is not None:
            self.queue.cancel()

    def with_thread(self, fn: Callable[P, R], timeout: float) -> Callable[P, tuple[R]]:
        """Return `fn`, using the permit in the thread that calls it. The watchdog knows its timeout, in seconds.

        The result is in a tuple: trio refuses a thread's function that returns a coroutine.
        """

        def used(*args: P.args, **kwargs: P.kwargs) -> tuple[R]:
            self.use()
            with running(timeout):
                return (fn(*args, **kwargs),)

        return used

    def with_coroutine(self, fn: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        """Return `fn`, using the permit in the asyncio loop that awaits it."""

        async def used(*args: P.args, **kwargs: P.kwargs) -> R:
            self.use()
            return await fn(*args, **kwargs)

        return used
