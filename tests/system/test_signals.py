"""A signal is kept when it comes early, and refused when it comes late or has the wrong type."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, Failed, NotAllowed
from sagakit.errors import InvalidInput
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.system.deliveries import CALM, Confirm, Deliver, Insure, Order
from tests.system.members import member

Clock = trio.testing.MockClock


async def test_a_signal_before_its_time_waits_in_the_record(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Confirm(), **CALM) as running:
        runtime = running.runtime
        handle = await runtime.start(Confirm, "one", "x")
        await runtime.signal(Confirm, "one", Confirm.second, 5)
        with pytest.raises(NotAllowed, match="second has come already, and is taken once"):
            await runtime.signal(Confirm, "one", Confirm.second, 6)
        await trio.sleep(7200)
        assert await handle.outcome() == Completed("None 5")
        with pytest.raises(NotAllowed, match="the saga is over"):
            await runtime.signal(Confirm, "one", Confirm.first, "late")


async def test_a_signal_that_is_no_longer_awaited_is_refused(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Confirm(), **CALM) as running:
        await running.runtime.start(Confirm, "one", "x")
        await trio.sleep(3700)
        with pytest.raises(NotAllowed, match="it is too late: first is done"):
            await running.runtime.signal(Confirm, "one", Confirm.first, "late")


async def test_a_signal_of_the_wrong_type_is_refused(autojump_clock: Clock) -> None:
    wrong: Any = "five"
    async with member(MemoryServer(), Confirm(), **CALM) as running:
        handle = await running.runtime.start(Confirm, "one", "x")
        with pytest.raises(InvalidInput, match="not what second takes"):
            await running.runtime.signal(Confirm, "one", Confirm.second, wrong)
        record = await record_of(handle)
        assert [known.verdict.partition(":")[0] for known in record.inbound] == ["refused"]
        assert "second" not in record.steps


async def test_a_signal_that_does_not_come_in_time_turns_the_saga_back(autojump_clock: Clock) -> None:
    log: list[str] = []
    async with member(MemoryServer(), Deliver(log), Insure(log), **CALM) as running:
        outcome = await running.runtime.execute(Deliver, "one", Order())
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.step) == ("deadline", "packed")
    assert log == ["reserve", "release"]
