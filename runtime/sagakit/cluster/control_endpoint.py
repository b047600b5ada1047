"""The control endpoint: answers on a worker's control subject, to pings and to requests that other workers pass on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sagakit.errors import Ambiguous, NoResponders
from sagakit.store.ports import Store

PING = b"ping"
PONG = b"pong"


class ControlEndpoint:
    """Answers the requests on this worker's control subject.

    It is open before the worker has its lease: otherwise an observer that sees the lease and asks at once would find
    nobody, and take the worker for dead.
    """

    def __init__(self, passed_on: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._passed_on = passed_on

    async def answer(self, request: bytes) -> bytes:
        """Return the answer to one request: a pong, a verdict, or `not mine` for a saga that is not here."""
        return PONG if request == PING else await self._passed_on(request)


async def answers(store: Store, worker_id: str, *, within: float) -> bool:
    """Return True unless the server says that nobody listens on the worker's control subject.

    No answer within `within` seconds counts as True: somebody subscribes there, and may only be paused. Raises
    Unavailable.
    """
    try:
        await store.control.request(worker_id, PING, timeout=within)
    except NoResponders:
        return False
    except Ambiguous:
        return True
    return True
