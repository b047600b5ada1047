"""A start that is refused: the client's error says why, whichever of its looks the refusal comes in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from sagakit.client.burials import Sent
from sagakit.client.messenger import Messenger
from sagakit.errors import AlreadyStarted, InvalidInput
from sagakit.naming import SagaKey


class Change:
    """The changes of one saga, and what a look finds: nothing at first. The refusal comes during the first look."""

    def __init__(self, then: object) -> None:
        self.count = 0
        self.sent = Sent(0)
        self._then = then
        self._looks = 0

    def poke(self) -> None:
        self.count += 1

    async def until_another(self, seen: int) -> None:
        assert self.count > seen, "it would wait for ever"

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[Change]:
        yield self

    async def known(self, key: str) -> object:
        self._looks += 1
        if self._looks > 1:
            return self._then
        self.sent.reason = "started before with a different input"
        assert self.sent.tell is not None
        self.sent.tell()
        return None


@pytest.mark.parametrize(("then", "error"), [("a saga with another input", AlreadyStarted), (None, InvalidInput)])
async def test_a_refusal_that_comes_during_a_look_is_judged_by_the_next_look(
    then: object, error: type[Exception]
) -> None:
    change = Change(then)
    wire: Any = SimpleNamespace(now=trio.current_time)
    unused: Any = None
    looks: Any = change
    messenger = Messenger(wire, unused, looks, looks, unused, unused)
    with pytest.raises(error, match="different input"):
        await messenger.until_started(SagaKey("Buy", "one"), change.sent, lambda known: False)
