"""Items for which nobody waits are handled in groups, and none of them holds up the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names
from sagakit.system.inbound.disposal import Disposal

Clock = trio.testing.MockClock


class Handler:
    """A handler that takes a second for a group, and has these items tried again so many times."""

    def __init__(self, again: dict[str, int] | None = None) -> None:
        self.again = again or {}
        self.groups: list[list[str]] = []

    async def __call__(self, group: Sequence[str]) -> Sequence[str]:
        await trio.sleep(1)
        self.groups.append(list(group))
        again = [item for item in group if self.again.get(item, 0)]
        for item in again:
            self.again[item] -= 1
        return again


@asynccontextmanager
async def disposal_of(
    handler: Handler, *, most: int = 3, server: MemoryServer | None = None
) -> AsyncIterator[Disposal[str]]:
    async with open_memory(server or MemoryServer(), names=Names()) as store, trio.open_nursery() as nursery:
        disposal = Disposal[str](store, handler, most=most)
        nursery.start_soon(disposal.run)
        yield disposal
        nursery.cancel_scope.cancel()


async def test_a_group_is_what_has_gathered_meanwhile(autojump_clock: Clock) -> None:
    handler = Handler()
    async with disposal_of(handler) as disposal:
        disposal.add("a")
        await trio.sleep(0.5)
        for item in "bcdef":
            disposal.add(item)
        await trio.sleep(10)
        disposal.add("g")
        await trio.sleep(10)
    assert handler.groups == [["a"], ["b", "c", "d"], ["e", "f"], ["g"]]


async def test_an_item_that_is_added_first_goes_before_those_that_wait(autojump_clock: Clock) -> None:
    handler = Handler()
    async with disposal_of(handler, most=1) as disposal:
        disposal.add("a")
        await trio.sleep(0.5)
        for item in "bc":
            disposal.add(item)
        disposal.add("large", first=True)
        await trio.sleep(10)
    assert handler.groups == [["a"], ["large"], ["b"], ["c"]]


@pytest.mark.parametrize("most", [1, 3])
async def test_an_item_that_fails_again_and_again_holds_up_no_other(autojump_clock: Clock, most: int) -> None:
    handler = Handler({"bad": 5})
    async with disposal_of(handler, most=most) as disposal:
        disposal.add("bad")
        for item in "abcdef":
            disposal.add(item)
        await trio.sleep(100)
    handled = [item for group in handler.groups for item in group]
    assert handled.count("bad") == 6
    assert [item for item in handled if item != "bad"] == list("abcdef")
    assert handled[-1] == "bad"


async def test_nothing_is_handled_in_an_outage(autojump_clock: Clock) -> None:
    handler, server = Handler(), MemoryServer()
    async with disposal_of(handler, server=server) as disposal:
        server.faults.begin_outage()
        disposal.add("a")
        await trio.sleep(60)
        assert handler.groups == []
        server.faults.end_outage()
        await trio.sleep(2)
    assert handler.groups == [["a"]]
