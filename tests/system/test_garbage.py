"""A saga that is over leaves nothing to the garbage collector, whose searches cost a tenth of the throughput."""

from __future__ import annotations

import gc

import trio
import trio.testing
from sagakit import Completed, Context, Failed, RetryPolicy, Saga, step
from sagakit.engine import PersistedSagaState
from sagakit.store.memory_server import MemoryServer
from sagakit.system.inbound.starts import _Asked
from sagakit.system.saga.saga_actor import SagaActor
from sagakit_actors import Ref
from sagakit_actors.reactor import ReactorCell

from tests.sagas import BookTrip, Trip
from tests.system.members import member


async def test_the_objects_of_a_saga_are_freed_when_it_is_over(autojump_clock: trio.testing.MockClock) -> None:
    async with member(MemoryServer(), BookTrip()) as running:

        async def some(numbers: range) -> int:
            for number in numbers:
                trip = Trip(refuse="flight" if number % 2 else "")
                outcome = await running.runtime.execute(BookTrip, f"s{number}", trip)
                assert isinstance(outcome, Completed | Failed)
            await running.retired()
            return _alive()

        gc.collect()
        gc.disable()
        try:
            first = await some(range(10))  # a sleeping task may still hold a part of the last one
            assert await some(range(10, 50)) <= first + 2
        finally:
            gc.enable()


async def test_a_saga_that_was_passivated_and_woken_is_freed_when_it_is_over(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """An operator's verb for thousands of stuck sagas wakes each of them."""
    async with member(MemoryServer(), Held()) as running:

        async def some(numbers: range) -> int:
            keys = [(await running.runtime.start(Held, f"h{number}", None)).key for number in numbers]
            await trio.sleep(60)
            assert running.runtime.passivated == len(keys)
            for key in keys:
                await running.runtime.apply(key, "terminate", reason="given up", by="ann")
            await running.retired()
            return _alive()

        gc.collect()
        gc.disable()
        try:
            first = await some(range(5))
            assert await some(range(5, 30)) <= first + 2
        finally:
            gc.enable()


async def test_an_active_saga_keeps_no_copy_of_what_it_was_started_with(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its record has the input, sealed or as a claim; as plain JSON it would be there as long as the saga."""
    async with member(MemoryServer(), Held()) as running:
        await running.runtime.start(Held, "one", None)
        await trio.sleep(1)
        assert await running.runtime.list_active() == ["Held.one"]
        gc.collect()
        assert not [found for found in gc.get_objects() if isinstance(found, _Asked)]


class Held(Saga[None]):
    """A saga that is stuck at its only step."""

    @step(pivot=True, retry=RetryPolicy(max_attempts=1))
    async def hand_over(self, nothing: None, ctx: Context) -> None:
        raise ConnectionError("carrier: 503")


def _alive() -> int:
    kinds = (SagaActor, ReactorCell, Ref, PersistedSagaState)
    return sum(isinstance(found, kinds) for found in gc.get_objects())
