"""Permission to make one call. The saga may revoke it until the call starts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import trio

from sagakit.errors import SagakitError

P = ParamSpec("P")
R = TypeVar("R")


class CallRevoked(SagakitError):
    """The saga turned back before the call was made."""


class CallPermit:
    """For attempt number `call` of a step. Whoever comes first decides: `use`, from any thread, or `withdraw`."""

    __slots__ = ("_first", "call", "queue")

    def __init__(self, call: int) -> None:
        self.call: int = call
        self.queue: trio.CancelScope | None = None
        """In which the call waits for its turn, and is made; left when the permit is revoked before."""
        self._first: dict[str, bool] = {}

    def is_revoked(self) -> bool:
        """Whether the call was not made, and is not to be made any more."""
        return self._first.get("used") is False

    def use(self) -> None:
        """Note that the call is about to be made, perhaps once more. Raises CallRevoked."""
        if not self._first.setdefault("used", True):  # atomic
            raise CallRevoked

    def revoke(self) -> None:
        """Have the call not made, unless it was already. In the trio thread."""
        if not self._first.setdefault("used", False) and self.queue is not None:
            self.queue.cancel()

    def with_thread(self, fn: Callable[P, R]) -> Callable[P, tuple[R]]:
        """Return `fn`, using the permit where it is called: in a thread. A tuple: trio refuses bare coroutines."""

        def used(*args: P.args, **kwargs: P.kwargs) -> tuple[R]:
            self.use()
            return (fn(*args, **kwargs),)

        return used

    def with_coroutine(self, fn: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        """Return `fn`, using the permit where it is awaited: in an asyncio loop."""

        async def used(*args: P.args, **kwargs: P.kwargs) -> R:
            self.use()
            return await fn(*args, **kwargs)

        return used
