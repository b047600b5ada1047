"""Signals, verbs and due timers come before new starts in a full worker."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from sagakit import Completed, Failed, open_runtime
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.servers import Server
from tests.system.families import (
    Asked,
    Asks,
    Holds,
    Later,
    Waits,
    full,
)
from tests.system.members import member, stands, until_ended

Clock = trio.testing.MockClock


@full
async def test_a_signal_to_a_child_at_rest_is_applied_at_once_and_acted_on_when_a_place_is_free(
    places: int, autojump_clock: Clock
) -> None:
    server, holds = MemoryServer(), Holds()
    async with member(server, Asked(), Asks(), holds, max_active=places) as worker:
        parent = await worker.runtime.start(Asks, "p", "x")
        with trio.fail_after(100):
            while worker.worker.sagas.passivated < 2:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        for number in range(places):
            await worker.runtime.start(Holds, str(number), "x")
        [kid] = [entry.key for entry in server.bucket("SAGA_STATE").entries("Asked")]
        with trio.fail_after(1):
            await worker.runtime.signal(Asked, kid.partition(".")[2].replace("=2F", "/"), Asked.said, "hello")
        record = stands(server, "SAGA_STATE", kid)
        assert record is not None
        assert "answer" not in record["steps"], "the saga has no place"
        await trio.sleep(100)
        assert stands(server, "SAGA_STATE", kid) == record
        holds.go_on.set()
        with trio.fail_after(100):
            assert isinstance(await parent.outcome(), Completed)


@full
async def test_a_saga_whose_timer_is_due_runs_before_new_sagas(places: int, autojump_clock: Clock) -> None:
    """A parent waits for the saga, and a hundred starts wait for a place."""
    server, holds = MemoryServer(), Holds()
    async with member(server, Later(), Waits(), holds, max_active=places) as worker, trio.open_nursery() as nursery:
        parent = await worker.runtime.start(Waits, "p", "x")
        await trio.sleep(10)
        for number in range(100):
            nursery.start_soon(worker.runtime.start, Holds, f"h{number}", "x")
        await trio.sleep(50)
        assert (holds.begun, (await record_of(parent)).status) == (places, "running")
        for _ in range(3):  # one for the timer, one for the parent that is told of it, and one to spare
            one = next(key for key in await worker.runtime.list_active() if key.startswith("Holds"))
            await worker.runtime.apply(one, "terminate")
        with trio.fail_after(10):
            assert isinstance(await parent.outcome(), Completed)
        nursery.cancel_scope.cancel()


STARTS = 600


@pytest.mark.parametrize("wait", [0, 5])
async def test_verbs_and_signals_do_not_wait_behind_starts(wait: float, autojump_clock: Clock) -> None:
    server, holds = MemoryServer(), Holds()
    async with member(server, Asked(), holds, max_active=20) as worker, trio.open_nursery() as nursery:
        for name in ("signalled", "terminated", "by message"):
            await worker.runtime.start(Asked, name, "x")
        await trio.sleep(wait)
        for number in range(STARTS):
            nursery.start_soon(worker.runtime.start, Holds, f"h{number}", "x")
        await trio.sleep(30)
        assert (holds.begun, worker.worker.sagas.passivated) == (20, 3)
        with trio.fail_after(1):
            await worker.runtime.signal(Asked, "signalled", Asked.said, "hello")
            await (await worker.runtime.get(Asked, "terminated")).terminate("enough")
            await until_ended(server, "Asked.terminated")
            payload = b'{"kind":"signal","step":"said","payload":"hello"}'
            await worker.store.inbox.send("client", id="m", saga_type="Asked", saga_id="by message", payload=payload)
            while not (stands(server, "SAGA_STATE", "Asked.by=20message") or {}).get("inbound"):  # noqa: ASYNC110
                await trio.sleep(0.1)
            one = next(key for key in await worker.runtime.list_active() if key.startswith("Holds"))
            assert await worker.runtime.apply(one, "terminate") == "accepted"
        nursery.cancel_scope.cancel()
        holds.go_on.set()


async def test_verbs_and_signals_do_not_wait_behind_starts_on_a_real_server(server: Server, namespace: str) -> None:
    holds = Holds()
    async with (
        open_runtime(
            server.url, namespace=namespace, sagas=[Asked(), holds], max_active=20, passivate_after=0.2
        ) as runtime,
        trio.open_nursery() as nursery,
    ):
        signalled = await runtime.start(Asked, "signalled", "x")
        terminated = await runtime.start(Asked, "terminated", "x")
        for number in range(STARTS):
            nursery.start_soon(runtime.start, Holds, f"h{number}", "x")
        with trio.fail_after(60):
            while holds.begun < 20 or len(await runtime.list_active()) > 20:  # noqa: ASYNC110
                await trio.sleep(0.05)
            await runtime.signal(Asked, "signalled", Asked.said, "hello")
            await terminated.terminate("enough")
            assert isinstance(await terminated.outcome(), Failed)
            one = next(key for key in await runtime.list_active() if key.startswith("Holds"))
            assert await runtime.apply(one, "terminate") == "accepted"
            assert holds.begun <= 21
            nursery.cancel_scope.cancel()
            holds.go_on.set()
            assert await signalled.outcome() == Completed("hello")
