"""The log reports a child that waits because no worker runs its type."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Saga, child, step
from sagakit.store.memory_server import MemoryServer

from tests.system.members import killable

Clock = trio.testing.MockClock


class Label(Saga[str]):
    @step(compensate=None)
    async def print_it(self, text: str, ctx: Context) -> None: ...


class Parcel(Saga[str]):
    label = child(Label, lambda text, ctx: text)


async def test_a_child_whose_type_no_worker_runs_is_reported_once_a_minute_until_one_does(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> int:
        return len([line for line in caplog.messages if "children of type Label wait, and no worker runs them" in line])

    server = MemoryServer()
    async with killable() as start:
        first = await start(server, Parcel(), scan_interval=5.0)
        handle = await first.runtime.start(Parcel, "1", "fragile")
        await trio.sleep(170)
        assert told() == 3
        await start(server, Label())
        with trio.fail_after(60):
            assert isinstance(await handle.outcome(), Completed)
        await trio.sleep(120)
        assert told() == 3
