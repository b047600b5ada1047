"""What a worker answers on its control subject: whether it lives, and what other workers pass on to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sagakit.errors import Ambiguous, NoResponders
from sagakit.store.ports import Store

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


async def answers(store: Store, worker_id: str, *, within: float) -> bool:
    """Return whether anybody listens at a worker's address; no answer in time counts as that: it may be paused.

    `within` in seconds. Raises Unavailable.
    """
    try:
        await store.control.request(worker_id, PING, timeout=within)
    except NoResponders:
        return False
    except Ambiguous:
        return True
    return True
