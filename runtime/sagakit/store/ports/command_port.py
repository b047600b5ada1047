"""The port of the commands: the work queue from which participants take what sagas ask of them."""

from __future__ import annotations

from typing import Protocol


class CommandQueue(Protocol):
    """The work queue of commands to participants."""

    async def check(self) -> None:
        """Check that there is a queue: an older version has made none. Raises LayoutMissing, Unavailable, Ambiguous."""
        ...

    async def send(self, endpoint: str, *, id: str, payload: bytes) -> None:
        """Append a command for `{service}.{endpoint}`, which is durable once this returns.

        The same `id` again within DUPLICATES seconds is dropped; participants know later copies by their key.

        Raises Unavailable, Ambiguous, StoreFull, TooLarge, NotPermitted.
        """
        ...
