"""The server's clock, as a process knows it that has clocks of its own: under virtual time."""

from __future__ import annotations

import logging
from math import inf

import pytest
import trio
import trio.testing
from sagakit.errors import Refused, StoreError, Unavailable
from sagakit.jetstream.clock import AGAIN, EVERY, LOOK, SAMPLES, ServerClock

from tests.store.conftest import OpenStore

Clock = trio.testing.MockClock
HOUR = 3600.0
EPOCH = 1_800_000_000.0
"""The server's clock when virtual time is 0."""


class Server:
    """Answers after `there` seconds on the way to it and `back` on the way back; `ahead` of the true time."""

    def __init__(self) -> None:
        self.there: list[float] = []
        self.back: list[float] = []
        self.ahead = 0.0
        self.error: StoreError | None = None
        self.asked = 0
        self.reconnected_at = -inf
        self.wall_ahead = 0.0
        self.suspended = 0.0
        self.clock = ServerClock(self._ask, reconnected_at=lambda: self.reconnected_at, wall=self._wall)

    @property
    def time(self) -> float:
        return EPOCH + self.ahead + self.suspended + trio.current_time()

    def _wall(self) -> float:
        return EPOCH + self.wall_ahead + self.suspended + trio.current_time()

    async def _ask(self) -> float:
        self.asked += 1
        await trio.sleep(self.there.pop(0) if self.there else 0.001)
        if self.error is not None:
            raise self.error
        said = self.time
        await trio.sleep(self.back.pop(0) if self.back else 0.001)
        return said

    @property
    def wrong(self) -> float:
        """Seconds by which the process is ahead of the server."""
        return self.clock.now() - self.time


async def test_a_process_whose_clocks_are_wrong_goes_by_the_server(autojump_clock: Clock) -> None:
    server = Server()
    server.wall_ahead = HOUR
    await server.clock.sample()
    assert server.wrong == pytest.approx(0.0, abs=0.002)
    assert server.clock.skew == pytest.approx(HOUR, abs=0.002)
    await trio.sleep(10 * HOUR)
    assert server.wrong == pytest.approx(0.0, abs=0.002)


async def test_of_several_answers_the_fastest_counts(autojump_clock: Clock) -> None:
    server = Server()
    server.there = [0.0, 3.0, 0.002, 0.0, 3.0]
    server.back = [9.0, 0.0, 0.002, 9.0, 0.0]
    await server.clock.sample()
    assert server.asked == SAMPLES
    assert server.wrong == pytest.approx(0.0, abs=0.002)


async def test_slow_answers_change_nothing_that_they_allow(autojump_clock: Clock) -> None:
    """All of them are lopsided: their middles are two seconds off."""
    server = Server()
    await server.clock.sample()
    server.there = [4.0] * SAMPLES
    await server.clock.sample()
    assert server.wrong == pytest.approx(0.0, abs=0.002)


async def test_a_clock_that_was_set_by_slow_answers_is_mended_by_fast_ones(autojump_clock: Clock) -> None:
    server = Server()
    server.there = [4.0] * SAMPLES
    await server.clock.sample()
    assert server.wrong == pytest.approx(2.0, abs=0.01)
    await server.clock.sample()
    assert server.wrong == pytest.approx(0.0, abs=0.002)


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_a_servers_clock_that_is_set_is_followed_within_a_minute(
    by: float, autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    server = Server()
    await server.clock.sample()
    nursery.start_soon(server.clock.keep)
    await trio.sleep(1)
    server.ahead = by
    with trio.fail_after(EVERY + 2):
        await server.clock.until_set()
    assert server.wrong == pytest.approx(0.0, abs=0.002)


async def test_it_does_not_run_back_for_a_small_correction(autojump_clock: Clock) -> None:
    server = Server()
    await server.clock.sample()
    before = server.clock.now()
    server.ahead = -0.5
    await server.clock.sample()
    assert server.clock.now() == before
    await trio.sleep(0.25)
    assert server.clock.now() == before
    await trio.sleep(1)
    assert server.clock.now() > before
    assert server.wrong == pytest.approx(0.0, abs=0.002)


async def test_after_a_reconnect_the_server_is_asked_anew(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    """The server may be another one, with another clock."""
    server = Server()
    await server.clock.sample()
    nursery.start_soon(server.clock.keep)
    await trio.sleep(3)
    server.ahead, server.reconnected_at = 7.0, trio.current_time()
    with trio.fail_after(2 * LOOK):
        await server.clock.until_set()
    assert server.wrong == pytest.approx(0.0, abs=0.002)
    asked = server.asked
    await trio.sleep(EVERY / 2)
    assert server.asked == asked, "once"


async def test_a_machine_that_was_suspended_asks_the_server(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    """Its monotonic clock stood still; its wall clock did not, and that is how it shows."""
    server = Server()
    await server.clock.sample()
    nursery.start_soon(server.clock.keep)
    await trio.sleep(3)
    server.suspended = HOUR
    with trio.fail_after(2 * LOOK):
        await server.clock.until_set()
    assert server.wrong == pytest.approx(0.0, abs=0.002)


async def test_a_jump_of_the_wall_clock_changes_nothing_and_is_told_once(
    autojump_clock: Clock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sagakit.clock")
    server = Server()
    await server.clock.sample()
    nursery.start_soon(server.clock.keep)
    for jump, says in [(HOUR, "3600.0 s ahead of"), (-HOUR, "3600.0 s behind"), (-HOUR + 2, "3598.0 s behind")]:
        caplog.clear()
        server.wall_ahead = jump
        await trio.sleep(10 * EVERY)
        assert server.wrong == pytest.approx(0.0, abs=0.002)
        assert [(one.levelname, says in one.getMessage()) for one in caplog.records] == [("WARNING", True)]
    caplog.clear()
    server.wall_ahead = 0.3
    await trio.sleep(10 * EVERY)
    assert [(one.levelname, "agrees" in one.getMessage()) for one in caplog.records] == [("INFO", True)]


@pytest.mark.parametrize("error", [Unavailable("away"), Refused(0, "no")])
async def test_while_the_server_says_nothing_time_goes_on(
    error: StoreError, autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    server = Server()
    await server.clock.sample()
    nursery.start_soon(server.clock.keep)
    server.error = error
    await trio.sleep(HOUR)
    assert server.wrong == pytest.approx(0.0, abs=0.002)
    assert server.asked < 1.2 * HOUR / AGAIN, "it is not pressed for an answer"
    server.error, server.ahead = None, 60.0
    with trio.fail_after(2 * AGAIN):
        await server.clock.until_set()
    assert server.wrong == pytest.approx(0.0, abs=0.002)


async def test_a_store_has_the_time(open_store: OpenStore) -> None:
    async with open_store() as store:
        before = store.clock.now()
        assert abs(store.clock.skew) < 30, "the server is on this machine"
        await trio.sleep(0.05)
        assert 0.04 < store.clock.now() - before < 30
    async with open_store() as store:
        assert store.clock.now() > before
