"""A flag wakes every task that waits for it, and lets later ones pass."""

from __future__ import annotations

import trio
from sagakit_actors.flag import Flag
from trio.testing import MockClock


async def test_a_flag_wakes_all_that_wait_and_later_ones_do_not_wait(autojump_clock: MockClock) -> None:
    flag, gone_on = Flag(), 0

    async def wait() -> None:
        nonlocal gone_on
        await flag.wait()
        gone_on += 1

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
        with trio.move_on_after(1):
            await flag.wait()
        assert not flag.is_set
        assert gone_on == 0
        flag.set()
        flag.set()
    assert gone_on == 3
    await wait()
    assert gone_on == 4
