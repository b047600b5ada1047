"""Doubles of a runtime or client: they keep the sagas that were started, as JetStream would."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sagakit import AlreadyStarted, Saga


async def nothing(id: str) -> None:
    """Do nothing: the default hook."""


class FakeStarter:
    """Starts each id once; the same id with another input is an error, and so are the ids that a test names."""

    def __init__(self, hook: Callable[[str], Awaitable[None]] = nothing) -> None:
        self.hook = hook
        self.errors: dict[str, Exception] = {}
        self.calls: list[str] = []
        """The ids of all starts, repetitions included, in order."""
        self.sagas: dict[str, Any] = {}
        """The input of each saga that was started."""
        self.given: dict[str, dict[str, Any]] = {}
        """The keywords of the last start of each id."""

    async def start(self, saga: type[Saga[Any, Any]], id: str | None, input: Any, **given: Any) -> object:
        assert id is not None
        self.calls.append(id)
        await self.hook(id)
        if id in self.errors:
            raise self.errors[id]
        if self.sagas.setdefault(id, input) != input:
            raise AlreadyStarted(f"{id} was started before with a different input")
        self.given[id] = {"saga": saga, **given}
        await self.hook(id)
        return None


class ClientLike(FakeStarter):
    """A starter that knows repetitions by the message's id alone, as `id_conflict="error"` demands of a client."""

    def __init__(self, hook: Callable[[str], Awaitable[None]] = nothing) -> None:
        super().__init__(hook)
        self.messages: dict[str, str] = {}

    async def start(
        self, saga: type[Saga[Any, Any]], id: str | None, input: Any, *, message_id: str | None = None, **given: Any
    ) -> object:
        assert id is not None
        assert message_id is not None
        if self.messages.setdefault(id, message_id) != message_id:
            raise AlreadyStarted(f"{id} was started before")
        return await super().start(saga, id, input, message_id=message_id, **given)
