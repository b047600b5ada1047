"""A worker compares the sagas that it knows with the stored records, at scans and after reconnects.

See docs/architecture.md, "Recovery".
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed
from sagakit.errors import Fenced
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Write
from sagakit.system.saga.saga_messages import Passivate
from sagakit.system.timers import SetTimer, Timers, TimersMessage
from sagakit_actors import Down

from tests.sagas import BookTrip
from tests.system.deliveries import Remind
from tests.system.members import EPOCH, bounded, change, member, stands
from tests.system.stopped_trips import KEY, Stop, started

Clock = trio.testing.MockClock


@pytest.mark.parametrize("by", ["scan", "reconnect"])
async def test_an_unknown_record_that_names_this_worker_is_loaded(by: str, autojump_clock: Clock) -> None:
    """A create that was given up as undecided has landed late."""
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, first := BookTrip(stop)) as victim, bounded():
        await started(victim, stop)
        entry = server.bucket("SAGA_STATE").read(KEY)
        assert entry is not None
        victim.kill()
    async with member(server, second := BookTrip(), scan_interval=1e6) as running, bounded():
        await trio.sleep(10)
        late = json.loads(entry.value) | {"owner": running.runtime.worker_id, "saga_id": "late", "run": "r"}
        server.bucket("SAGA_STATE").write(Write("BookTrip.late", json.dumps(late).encode(), 0))
        if by == "scan":
            await running.runtime.scan()
        else:
            server.faults.begin_outage()
            await trio.sleep(1)
            server.faults.end_outage()
            await trio.sleep(1)
        handle = await running.runtime.get(BookTrip, "late")
        assert await handle.outcome() == Completed("tickets-Rome")
    assert first.names == ["hotel", "flight"]
    assert "tickets" in second.names


async def test_a_record_that_another_worker_took_is_let_go_at_the_next_look(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker does not wait for its next write, since an attempt may take an hour."""
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop), scan_interval=1e6) as loser, bounded():
        handle = await started(loser, stop)
        change(server, KEY, owner="other-1", epoch=2)
        async with trio.open_nursery() as nursery:

            async def outcome() -> None:
                with pytest.raises(Fenced):
                    await handle.outcome()

            nursery.start_soon(outcome)
            await trio.testing.wait_all_tasks_blocked()
            await loser.runtime.scan()
        await loser.retired()
        assert loser.worker.environment.fenced_count == 1


@pytest.mark.usefixtures("quiet_crashes")
async def test_a_record_that_was_changed_is_loaded_again(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop), scan_interval=1e6) as running, bounded():
        handle = await started(running, stop)
        change(server, KEY, attributes={"mended": "by hand"})
        await running.runtime.scan()
        assert await handle.outcome() == Completed("tickets-Rome")
    record = stands(server, "SAGA_ARCHIVE", KEY)
    assert record is not None
    assert record["attributes"] == {"mended": "by hand"}
    assert record["epoch"] == 2


@pytest.mark.usefixtures("quiet_crashes")
@pytest.mark.parametrize("passivate_after", [1.0, 1e6], ids=["passivated", "active"])
async def test_a_stalled_saga_is_found_and_continues(
    passivate_after: float, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time has passed by `stall_timeout` although its owner lives: its wake-up was lost."""
    take = Timers._take_all

    def forgetful(self: Timers, messages: list[TimersMessage | Down]) -> None:
        take(self, [one for one in messages if isinstance(one, SetTimer) and isinstance(one.message, Passivate)])

    monkeypatch.setattr(Timers, "_take_all", forgetful)
    server = MemoryServer()
    options: dict[str, Any] = {"scan_interval": 10.0, "stall_timeout": 60.0, "passivate_after": passivate_after}
    async with member(server, Remind(), **options) as running, bounded():
        began = trio.current_time()
        handle = await running.runtime.start(Remind, "one", EPOCH + 30)
        await handle.outcome()
        assert 30 + 60 <= trio.current_time() - began < 30 + 60 + 30
