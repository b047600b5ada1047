"""Looks that visitors share, in virtual time; and the overview, which does not wait for one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast
from unittest.mock import ANY

import pytest
import trio
from sagakit.errors import Unavailable
from sagakit.repository.counting import SagaCounts
from sagakit.web.overview_page import groups_soon
from sagakit.web.shared_looks import FEW, SHARE, STILL_TRUE, Looked, Looks, SharedLook
from trio.testing import MockClock, wait_all_tasks_blocked

CLIENT: Any = None


class Store:
    """A store in which each look takes some seconds of virtual time, and finds its own number."""

    def __init__(self, seconds: float = 1.0, read: int = 0) -> None:
        self.seconds = seconds
        self.read = read
        self.began = 0
        self.fails = False

    async def look(self, client: Any) -> Looked[int]:
        self.began += 1
        number = self.began
        await trio.sleep(self.seconds)
        if self.fails:
            raise Unavailable("away")
        return Looked(number, self.read)

    def shared(self) -> SharedLook[int]:
        return SharedLook(self.look, clock=trio.current_time)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(10_000):
            await main()

    trio.run(bounded, clock=MockClock(autojump_threshold=0))


def test_visitors_that_come_at_once_share_a_look_that_began_after_they_asked() -> None:
    async def main() -> None:
        store, found = Store(), list[int]()
        shared = store.shared()

        async def visitor() -> None:
            found.append(await shared.get(CLIENT))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(visitor)
            await wait_all_tasks_blocked()
            for _ in range(9):
                nursery.start_soon(visitor)
        assert found == [1, *[2] * 9], "the nine have asked after the first look had begun"
        assert await shared.get(CLIENT) == 3, "nobody gets what was found before they asked"

    run(main)


@pytest.mark.parametrize(("read", "lasts"), [(FEW, 0), (FEW + 1, SHARE * 2.0)])
def test_a_look_that_reads_much_is_shared_for_some_times_as_long_as_it_took(read: int, lasts: float) -> None:
    async def main() -> None:
        store = Store(seconds=2.0, read=read)
        shared = store.shared()
        assert await shared.get(CLIENT) == 1
        began = trio.current_time() - 2.0
        while trio.current_time() < began + lasts:
            assert await shared.get(CLIENT) == 1
            await trio.sleep(1.0)
        assert await shared.get(CLIENT) == 2

    run(main)


def test_a_look_that_fails_or_is_cancelled_is_begun_again() -> None:
    async def main() -> None:
        store = Store(read=FEW + 1)
        shared = store.shared()
        store.fails = True
        with pytest.raises(Unavailable):
            await shared.get(CLIENT)
        store.fails = False
        with trio.move_on_after(0.5):
            await shared.get(CLIENT)
        assert await shared.get(CLIENT) == 3

    run(main)


def test_who_does_not_wait_gets_what_was_found_in_the_last_minute() -> None:
    async def main() -> None:
        store = Store(seconds=2.0, read=FEW + 1)
        shared = store.shared()
        assert shared.known() == (None, True)
        await shared.renew(CLIENT)
        assert shared.known() == (1, False)
        await trio.sleep(SHARE * store.seconds)
        assert shared.known() == (1, True)
        await shared.renew(CLIENT)
        assert shared.known() == (2, False)
        await trio.sleep(STILL_TRUE)
        assert shared.known() == (None, True)

    run(main)


def told(stuck: int) -> SagaCounts:
    return SagaCounts(counts={("Buy", "stuck"): stuck, ("Buy", "failed"): 5_000}, exact=False, as_of=990.0)


def test_the_overview_does_not_wait_for_the_groups_where_there_are_many_sagas() -> None:
    async def main() -> None:
        looks, store = Looks(), Store(seconds=20.0)
        looks.groups = cast("Any", store.shared())
        began = trio.current_time()
        groups, later = await groups_soon(looks, told(FEW + 1), CLIENT)
        assert (groups, trio.current_time()) == (None, began)
        assert later is not None
        await later()
        found: Any = await groups_soon(looks, told(FEW + 1), CLIENT)
        assert found == (1, ANY), "those who come later have them"

    run(main)


def test_the_overview_waits_for_the_groups_of_few_sagas_however_slow_the_machine_is() -> None:
    async def main() -> None:
        looks, store = Looks(), Store(seconds=20.0)
        looks.groups = cast("Any", store.shared())
        found: Any = await groups_soon(looks, told(FEW), CLIENT)
        assert found == (1, None)

    run(main)
