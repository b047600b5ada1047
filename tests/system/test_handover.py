"""A worker that leaves hands over idle sagas at once, and the others as their attempts end."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
import trio.testing
from sagakit import Context, RetryPolicy, Saga, step
from sagakit.cluster import handover
from sagakit.store.memory_server import MemoryServer

from tests.sagas import BookTrip, Trip
from tests.system.members import Member, killable, stands, until_ended
from tests.system.stopped_trips import Stop

Clock = trio.testing.MockClock
GRACE = 20.0


class Patient(Saga[str, None]):
    """A saga that waits for an hour after its first attempt."""

    @step(
        retry=RetryPolicy(max_attempts=9, initial_interval=timedelta(hours=1), max_interval=timedelta(hours=1)),
        compensate=None,
    )
    async def ask(self, name: str, ctx: Context) -> None:
        raise ConnectionError("not yet")


def epoch(server: MemoryServer, key: str) -> int:
    record = stands(server, "SAGA_STATE", key)
    assert record is not None
    return int(record.get("epoch", 2))  # an end marker has no owner


async def seconds_until_adopted(server: MemoryServer, key: str) -> float:
    began = trio.current_time()
    with trio.fail_after(1000):
        while epoch(server, key) < 2:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.01)
    return trio.current_time() - began


async def leaving_with_one_at_work(server: MemoryServer, victim: Member, stop: Stop) -> None:
    """Start one saga that stays in a call and one that waits for its next try, then ask the worker to leave."""
    await victim.runtime.start(BookTrip, "one", Trip())
    await victim.runtime.start(Patient, "two", "")
    await stop.reached.wait()
    with trio.fail_after(1000):
        while victim.worker.sagas.passivated == 0:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)
    victim.leave()


async def test_a_waiting_saga_moves_within_a_second_while_an_attempt_uses_the_drain_timeout(
    autojump_clock: Clock,
) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start:
        victim = await start(server, BookTrip(stop), Patient(), drain_timeout=GRACE)
        await start(server, BookTrip(), Patient())
        await leaving_with_one_at_work(server, victim, stop)
        assert await seconds_until_adopted(server, "Patient.two") <= 1.0
        await trio.sleep(GRACE / 2)
        assert epoch(server, "BookTrip.one") == 1, "its attempt still runs on the first worker"
        stop.go_on.set()
        assert await seconds_until_adopted(server, "BookTrip.one") <= 1.0
        await until_ended(server, "BookTrip.one")


async def test_all_sagas_move_at_the_end_when_too_many_are_in_attempts_to_name_them(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "BUSY_BYTES", 3)
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start:
        victim = await start(server, BookTrip(stop), Patient(), drain_timeout=GRACE)
        await start(server, BookTrip(), Patient())
        await leaving_with_one_at_work(server, victim, stop)
        await trio.sleep(GRACE / 2)
        assert epoch(server, "Patient.two") == 1
        stop.go_on.set()
        assert await seconds_until_adopted(server, "Patient.two") <= 1.0
