"""A lane handles offered items and put items in turn, so that neither kind blocks the other."""

from __future__ import annotations

from math import inf

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
        lane = Lane(nursery, handle, at_once=1, waiting=inf)
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


async def test_an_item_that_is_offered_first_does_not_wait_in_line(autojump_clock: Clock) -> None:
    handled: list[str] = []

    async def handle(item: str) -> None:
        await trio.sleep(1)
        handled.append(item)

    async with trio.open_nursery() as nursery:
        lane = Lane(nursery, handle, at_once=1, waiting=inf)
        for item in ("one", "two", "three"):
            lane.offer(item)
        lane.offer("large", first=True)
    assert handled == ["one", "large", "two", "three"]


@pytest.mark.parametrize(
    ("took", "most"), [(0.001, 2), (0.1, 10), (10.0, 20)], ids=["fast", "slow", "as slow as can be"]
)
async def test_a_lane_with_a_rate_has_as_many_tasks_as_the_rate_needs(
    autojump_clock: Clock, took: float, most: int
) -> None:
    """A hundred items a second: two tasks are enough for fast ones, and there are never more than twenty."""
    running, seen = 0, []

    async def handle(number: int) -> None:
        nonlocal running
        running += 1
        seen.append(running)
        await trio.sleep(took)
        running -= 1

    async with trio.open_nursery() as nursery:
        lane = Lane(nursery, handle, at_once=2, waiting=inf, rate=100, most=20)
        for number in range(400):
            lane.offer(number)
    assert len(seen) == 400
    assert max(seen) == most


async def test_a_lane_with_a_rate_has_fewer_tasks_once_items_are_fast_again(autojump_clock: Clock) -> None:
    slow, running, seen = True, 0, []

    async def handle(number: int) -> None:
        nonlocal running
        running += 1
        seen.append(running)
        await trio.sleep(10 if slow else 0.001)
        running -= 1

    async with trio.open_nursery() as nursery:
        lane = Lane(nursery, handle, at_once=2, waiting=inf, rate=100, most=20)
        for number in range(100):
            lane.offer(number)
    slow, seen = False, []
    async with trio.open_nursery() as nursery:
        lane._nursery = nursery
        for number in range(500):
            lane.offer(number)
    assert max(seen[-100:]) == 2


async def test_an_item_never_overtakes_one_that_waits_when_there_are_more_tasks(autojump_clock: Clock) -> None:
    begun: dict[int, float] = {}

    async def handle(number: int) -> None:
        begun[number] = trio.current_time()
        await trio.sleep(0.1)
        if number < 50:
            lane.offer(100 + number)

    async with trio.open_nursery() as nursery:
        lane = Lane(nursery, handle, at_once=2, waiting=inf, rate=1_000, most=100)
        for number in range(100):
            lane.offer(number)
    assert len(begun) == 150
    assert max(begun[number] for number in range(100)) <= min(begun[number] for number in range(100, 150))
