"""What a worker answers on its control subject: whether it lives, and what other workers pass on to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

PING = b"ping"
PONG = b"pong"
NOT_YET = b"not mine"


class Reception:
    """Open before the first saga is; `passed_on` is set once sagas can be reached."""

    def __init__(self) -> None:
        self.passed_on: Callable[[bytes], Awaitable[bytes]] | None = None

    async def answer(self, request: bytes) -> bytes:
        """Answer one request."""
        if request == PING:
            return PONG
        return NOT_YET if self.passed_on is None else await self.passed_on(request)
