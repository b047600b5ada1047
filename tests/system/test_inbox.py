"""The inbox of a real server, used with nats-py alone, as another program would use it.

See docs/architecture.md, "The inbox".
"""

from __future__ import annotations

import pytest
import trio
import trio.testing
from sagakit import Completed, Failed, Runtime, open_runtime
from sagakit.errors import UnknownSaga
from sagakit.store.memory_server import MemoryServer, Queued

from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.system.deliveries import Confirm
from tests.system.inbox_sender import send
from tests.system.members import member
from tests.system.stopped_trips import Stop


async def outcome(runtime: Runtime, id: str) -> object:
    """Return the outcome of a saga that another program starts."""
    with trio.fail_after(60):
        while True:
            try:
                return await (await runtime.get(BookTrip, id)).outcome()
            except UnknownSaga:
                await trio.sleep(0.05)  # a message starts the saga: nothing tells of it before it exists


async def test_p10_a_saga_is_started_and_cancelled_by_messages(server: Server, namespace: str) -> None:
    stop = Stop("flight")
    subject = f"{namespace}.sagain.BookTrip"
    async with open_runtime(server.url, sagas=[saga := BookTrip(stop)], namespace=namespace) as runtime:
        start = '{"kind": "start", "input": {"city": "Oslo"}}'
        await send(server, f"{subject}.one", "m1", start, f"{subject}.one", "m2", start)
        with trio.fail_after(60):
            await stop.reached.wait()
        await send(server, f"{subject}.one", "m3", '{"kind": "cancel", "reason": "by message", "by": "ann"}')
        with trio.fail_after(60):
            while not (await runtime.load(BookTrip, "one")).inbound:  # noqa: ASYNC110  # what is waited for sets no event
                await trio.sleep(0.05)
        stop.go_on.set()
        found = await outcome(runtime, "one")
        assert isinstance(found, Failed)
        assert (found.cause, found.reason) == ("cancelled", "by message")
        await send(server, f"{subject}.=2E", "m4", start)
        assert await outcome(runtime, ".") == Completed("tickets-Oslo")
    assert saga.names.count("hotel") == 2


async def test_messages_sent_while_no_worker_runs_are_taken_when_one_starts(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace):
        pass
    start = '{"kind": "start", "input": {}}'
    many = [part for n in range(50) for part in (f"{namespace}.sagain.BookTrip.s{n}", f"m{n}", start)]
    await send(server, *many)
    async with open_runtime(server.url, sagas=[saga := BookTrip()], namespace=namespace) as runtime:
        for n in range(50):
            assert await outcome(runtime, f"s{n}") == Completed("tickets-Rome")
        assert await runtime.execute(BookTrip, "s7", Trip()) == Completed("tickets-Rome")
    assert len(saga.calls) == len(set(saga.calls)) == 150


async def test_p8_a_signal_waits_for_a_start_that_is_still_in_the_inbox(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker that took the start has died, so the start is delivered again after a message that was sent later."""
    server = MemoryServer()
    async with member(server, Confirm()) as running:
        server.faults.begin_outage()  # no worker takes messages while these are published
        server.inbox += [
            Queued("s1", "Confirm", "one", b'{"kind": "start", "input": "x"}', 1),
            Queued("s2", "Confirm", "one", b'{"kind": "signal", "step": "second", "payload": 5}', 2),
            Queued("s3", "Confirm", "nobody", b'{"kind": "signal", "step": "second", "payload": 5}', 3),
        ]
        server.inbox[0].again_at = trio.current_time() + 100
        server.faults.end_outage()
        server.inbox_changed.unpark_all()
        with trio.fail_after(7200):
            while not server.bucket("SAGA_STATE").read("Confirm.one"):  # noqa: ASYNC110  # virtual time
                await trio.sleep(1)
            assert trio.current_time() >= 100
            handle = await running.runtime.get(Confirm, "one")
            assert await handle.outcome() == Completed("None 5")
        assert not server.inbox
    dropped = [line for line in caplog.messages if "is a dead letter" in line]
    assert len(dropped) == 1, "only the message to a saga that is never started"
    assert "Confirm.nobody" in dropped[0]
