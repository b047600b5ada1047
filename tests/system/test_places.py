"""Places are given in order, and none is lost or given twice."""

from __future__ import annotations

from random import Random

import pytest
import trio
import trio.testing
from sagakit.system.places import Places


class Line:
    """Places, with a record of what they have told."""

    def __init__(self, most: int) -> None:
        self.granted: list[str] = []
        self.taken: list[str] = []
        self.places = Places(most, granted=self.granted.append, taken=self.taken.append)
        self.entered: list[str] = []

    async def enter(self, key: str) -> None:
        await self.places.enter()
        self.places.seat(key)
        self.entered.append(key)


async def test_a_place_is_kept_until_its_saga_is_idle_and_another_needs_it() -> None:
    line = Line(1)
    places = line.places
    assert places.use("a")
    assert not places.use("b")
    places.ask("b")
    assert line.granted == []
    places.idle("a")
    assert (line.granted, line.taken) == (["b"], ["a"])
    assert (places.has("a"), places.has("b")) == (False, True)


async def test_an_idle_saga_keeps_its_place_while_no_other_needs_it() -> None:
    line = Line(1)
    line.places.use("a")
    line.places.idle("a")
    assert line.places.has("a")
    assert line.places.use("a")
    assert line.taken == []
    assert not line.places.use("b"), "a works again"


async def test_the_place_of_the_saga_that_has_been_idle_for_longest_goes_first() -> None:
    line = Line(3)
    for key in "abc":
        line.places.use(key)
    for key in "bac":
        line.places.idle(key)
    assert line.places.use("d")
    assert line.places.use("e")
    assert line.taken == ["b", "a"]


async def test_resident_sagas_come_before_newcomers_each_in_their_order() -> None:
    line = Line(1)
    line.places.use("a")
    async with trio.open_nursery() as nursery:
        for key in "xy":
            nursery.start_soon(line.enter, key)
            await trio.testing.wait_all_tasks_blocked()
        for key in "bc":
            line.places.ask(key)
        for key in "abc":
            line.places.leave(key)
        assert line.granted == ["b", "c"]
        await trio.testing.wait_all_tasks_blocked()
        assert line.entered == ["x"]
        line.places.leave("x")
    assert line.entered == ["x", "y"]


async def test_no_saga_passes_those_that_wait() -> None:
    line = Line(1)
    async with trio.open_nursery() as nursery:
        assert line.places.use("a")
        nursery.start_soon(line.enter, "x")
        await trio.testing.wait_all_tasks_blocked()
        line.places.leave("a")
        assert not line.places.use("b"), "x has it"
        nursery.start_soon(line.enter, "y")
        await trio.testing.wait_all_tasks_blocked()
        assert line.entered == ["x"]
        line.places.leave("x")


async def test_a_newcomer_that_gives_up_leaves_the_line() -> None:
    line = Line(1)
    line.places.use("a")
    with trio.move_on_after(0):
        await line.enter("x")
    line.places.leave("a")
    assert line.places.use("b")


async def test_a_newcomer_that_is_cancelled_as_its_turn_comes_has_the_place() -> None:
    """The place comes with the wake-up. If the newcomer dropped it, it would be lost for good."""
    line = Line(1)
    line.places.use("a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.enter, "x")
        await trio.testing.wait_all_tasks_blocked()
        line.places.leave("a")
        nursery.cancel_scope.cancel()
    assert line.entered == ["x"]


async def test_a_place_that_is_given_back_goes_to_the_next() -> None:
    line = Line(1)
    await line.places.enter()
    line.places.ask("a")
    line.places.give_back()
    assert line.granted == ["a"]


async def test_a_passivated_saga_stays_in_line_and_a_leaving_one_does_not() -> None:
    line = Line(1)
    line.places.use("a")
    for key in "bc":
        line.places.ask(key)
        line.places.ask(key)
    line.places.vacate("b")
    line.places.leave("c")
    line.places.leave("a")
    assert line.granted == ["b"]
    line.places.leave("b")
    assert line.places.use("d")


async def test_places_that_are_no_longer_wanted_are_passed_on_without_recursion() -> None:
    """A leaving worker forgets thousands of waiting sagas, and each gives its place back as it gets it."""
    passed: list[str] = []

    def give_back(key: str) -> None:
        passed.append(key)
        places.leave(key)

    places = Places(1, granted=give_back, taken=passed.append)
    places.use("a")
    for number in range(5000):
        places.ask(str(number))
    places.leave("a")
    assert len(passed) == 5000
    assert places.use("b")


@pytest.mark.parametrize("asks", [False, True])
async def test_a_saga_that_runs_alone_has_a_place_and_gives_it_back_like_others(asks: bool) -> None:
    line = Line(1)
    line.places.use("a")
    if asks:
        line.places.ask("b")
    line.places.seize("b")
    assert line.places.has("b")
    line.places.leave("a")
    assert not line.places.use("c"), "there is one place, and b has it"
    line.places.leave("b")
    assert line.places.use("c")
    assert line.granted == []


@pytest.mark.parametrize("seed", range(20))
async def test_no_place_is_lost_and_none_is_given_twice(seed: int) -> None:
    random, line, most = Random(seed), Line(3), 3
    places, keys = line.places, "abcdefgh"
    for _ in range(500):
        key = random.choice(keys)
        random.choice([places.use, places.ask, places.idle, places.vacate, places.leave])(key)
        held = [one for one in keys if places.has(one)]
        assert len(held) <= most
    for key in keys:
        places.leave(key)
    assert [places.use(key) for key in "vwxyz"] == [True] * most + [False] * 2
