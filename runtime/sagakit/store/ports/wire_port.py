"""The port of a plain NATS connection, for code that runs on asyncio and on trio alike.

A client without a worker and the repository use it. They are coroutine functions that await nothing but the
methods of a `Wire`, so they know neither of the two. Only tasks of the program that opened the wire use it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from sagakit.errors import StoreError


class WireMessage(NamedTuple):
    """A message as it came. `reply` is empty if there is none, `headers` is the whole block, empty if there is none."""

    subject: str
    reply: str
    headers: bytes
    payload: bytes


class WireRequest(NamedTuple):
    """A message that wants an answer. `headers` is a block as `header_block` makes it."""

    subject: str
    headers: bytes
    payload: bytes


class Subscription(Protocol):
    """A subject that is heard, until `end`."""

    async def end(self) -> None:
        """Stop hearing the subject. Where the connection is lost, the subscription has ended with it."""
        ...


class WireEvent(Protocol):
    """A flag that tasks wait for. Once set it stays set."""

    def set(self) -> None:
        """Wake all tasks that wait, and all that will."""
        ...

    def is_set(self) -> bool:
        """Return True once `set` was called."""
        ...

    async def wait(self) -> None:
        """Return once the flag is set."""
        ...


class Wire(Protocol):
    """A connection to NATS that is made again when it is lost."""

    @property
    def connected(self) -> bool:
        """True while the connection is up."""
        ...

    @property
    def reconnects(self) -> int:
        """Number of times that the connection was lost and came back."""
        ...

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        ...

    async def request(
        self, subject: str, payload: bytes = b"", *, headers: bytes = b"", timeout: float | None = None
    ) -> bytes:
        """Send a message and return the payload of its answer. `headers` is a block as `header_block` makes it.

        `timeout` is in seconds; None is the connection's own. Raises Unavailable (never sent, or nobody listens: then
        NoResponders), Ambiguous (sent, no answer), NotPermitted. Cancelled, the message may still have its effect.
        """
        ...

    async def request_all(self, requests: Sequence[WireRequest]) -> Sequence[bytes | StoreError]:
        """Send messages as `request` does, and return the answers to all of them, or what went wrong with each.

        One task waits for all: that costs less than a task for each of them.
        """
        ...

    def tell(self, subject: str, payload: bytes, *, headers: bytes = b"", reply: str = "") -> None:
        """Send a message that wants no answer here. The message is lost if the connection is."""
        ...

    async def hear(self, subject: str, take: Callable[[WireMessage], None]) -> Subscription:
        """Have `take` called for each message of a subject, in order, also after a reconnect. `take` does not block.

        The server knows of the subscription when this returns. Raises Unavailable, NotPermitted.
        """
        ...

    def new_inbox(self) -> str:
        """Return a subject that nobody else uses, under the connection's prefix for answers."""
        ...

    async def until_connected(self) -> None:
        """Return when the connection is up. Raises RuntimeClosed when it never will be again."""
        ...

    def event(self) -> WireEvent:
        """Return a flag of this wire's kind of tasks."""
        ...

    async def within(self, seconds: float, event: WireEvent) -> bool:
        """Wait for a flag. Return False if it is not set after so many seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...

    def now(self) -> float:
        """Return the seconds of a clock that never jumps."""
        ...

    async def together(self, *calls: Callable[[], Awaitable[Any]]) -> None:
        """Run coroutine functions at the same time, and return when all have ended.

        If some raise, the others are cancelled, and the error of one of them is raised as it is, not in a group.
        """
        ...
