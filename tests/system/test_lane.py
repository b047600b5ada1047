"""A lane handles offered items and put items in turn, so that neither kind blocks the other."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from sagakit.system.inbound.lane import Lane

Clock = trio.testing.MockClock


async def test_a_put_item_is_handled_while_more_and_more_are_offered(autojump_clock: Clock) -> None:
    """New starts come as fast as they are handled for ten minutes; a parked one has its turn among them."""
    handled: list[str] = []

    async def handle(item: str) -> None:
        await trio.sleep(1)
        handled.append(item)

    async with trio.open_nursery() as nursery:
        lane = Lane(nursery, handle, at_once=4, waiting=4)
        for number in range(8):
            assert lane.offer(f"new {number}")
        nursery.start_soon(lane.put, "parked")
        with trio.fail_after(600):
            while "parked" not in handled:
                for _ in range(4):
                    lane.offer("new")
                await trio.sleep(1)
        assert trio.current_time() < 5
        nursery.cancel_scope.cancel()


async def test_an_offered_item_is_handled_while_more_and_more_are_put(autojump_clock: Clock) -> None:
    handled: list[str] = []

    async def handle(item: str) -> None:
        await trio.sleep(1)
        handled.append(item)

    async with trio.open_nursery() as nursery:
        lane = Lane(nursery, handle, at_once=1, waiting=8)
        lane.offer("first")
        for number in range(100):
            nursery.start_soon(lane.put, f"put {number}")
        await trio.testing.wait_all_tasks_blocked()
        lane.offer("new")
        await trio.sleep(4)
        assert "new" in handled
        nursery.cancel_scope.cancel()


async def test_an_item_whose_put_is_cancelled_is_not_handled(autojump_clock: Clock) -> None:
    handled: list[str] = []

    async def handle(item: str) -> None:
        await trio.sleep(1)
        handled.append(item)

    async with trio.open_nursery() as nursery:
        lane = Lane(nursery, handle, at_once=1, waiting=0)
        await lane.put("first")
        with trio.move_on_after(0.5):
            await lane.put("cancelled")
        await lane.put("last")
    assert handled == ["first", "last"]


@pytest.mark.parametrize("at_once", [1, 3])
async def test_a_full_lane_takes_no_offer(at_once: int, autojump_clock: Clock) -> None:
    async def handle(item: int) -> None:
        await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        lane = Lane(nursery, handle, at_once=at_once, waiting=2)
        assert [lane.offer(number) for number in range(at_once + 3)] == [True] * (at_once + 2) + [False]
