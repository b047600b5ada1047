"""Looks that visitors share, in virtual time; and the overview, which does not wait for one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import trio
from sagakit.errors import Unavailable
from sagakit.repository.counting import SagaCounts
from sagakit.web.overview_page import sagas_soon
from sagakit.web.rendering import LISTED, WHOLE
from sagakit.web.shared_looks import EASE, FEW, PAUSE, SHARE, STILL_TRUE, Looked, Looks, SharedLook
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
        shared: SharedLook[Any] = store.shared()
        assert shared.known(STILL_TRUE) == (None, True)
        await shared.renew(CLIENT)
        assert shared.known(STILL_TRUE) == (1, False)
        await trio.sleep(EASE * store.seconds)
        assert shared.known(STILL_TRUE) == (1, True)
        await shared.renew(CLIENT)
        assert shared.known(STILL_TRUE) == (2, False)
        assert shared.known(store.seconds - 0.1) == (None, True), "it began before that"
        await trio.sleep(STILL_TRUE)
        assert shared.known(STILL_TRUE) == (None, True)

    run(main)


def told(stuck: int) -> SagaCounts:
    return SagaCounts(counts={("Buy", "stuck"): stuck, ("Buy", "failed"): 5_000}, exact=False, as_of=990.0)


def looks_of(counts: SagaCounts, groups: Store) -> Looks:
    """Return looks that find these counts, each in a second of virtual time, and the groups."""

    async def count(client: Any) -> Looked[SagaCounts]:
        await trio.sleep(1.0)
        return Looked(counts, FEW + 1)

    looks = Looks()
    looks.counts = SharedLook(count, clock=trio.current_time)
    looks.groups = cast("Any", groups.shared())
    return looks


def test_the_overview_does_not_wait_for_the_groups_where_there_are_many_sagas() -> None:
    async def main() -> None:
        looks = looks_of(told(FEW + 1), Store(seconds=20.0))
        began = trio.current_time()
        sagas = await sagas_soon(looks, CLIENT)
        assert (sagas.groups, sagas.soon, trio.current_time()) == (None, True, began + 1.0)
        for later in sagas.later:
            await later()
        found: Any = await sagas_soon(looks, CLIENT)
        assert (found.groups, found.soon) == (1, False), "those who come later have them"

    run(main)


def test_the_overview_waits_for_the_groups_of_few_sagas_however_slow_the_machine_is() -> None:
    async def main() -> None:
        found: Any = await sagas_soon(looks_of(told(FEW), Store(seconds=20.0)), CLIENT)
        assert found == (told(FEW), 1, [], False)

    run(main)


def test_the_overview_does_not_wait_for_counts_that_were_told_since_its_last_renewal() -> None:
    async def main() -> None:
        looks = looks_of(told(FEW + 1), Store(seconds=0.0))
        await sagas_soon(looks, CLIENT)
        await trio.sleep(WHOLE)
        began = trio.current_time()
        sagas = await sagas_soon(looks, CLIENT)
        assert trio.current_time() == began
        for later in sagas.later:
            await later()
        assert trio.current_time() <= began + len(sagas.later) * (PAUSE + 1.0)
        await trio.sleep(WHOLE + LISTED)
        began = trio.current_time()
        await sagas_soon(looks, CLIENT)
        assert trio.current_time() == began + 1.0, "nobody has looked meanwhile"

    run(main)
