"""Many messages to one saga: each is applied once and each sender gets its verdict."""

from __future__ import annotations

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Context, Failed, NotAllowed, Saga, signal, step
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey

from tests.looks import record_of, settled
from tests.sagas import BookTrip, Trip
from tests.system.members import Member, killable, member, stands, suffixes, until_ended
from tests.system.stopped_trips import Stop, started
from tests.system.stuck_sagas import stuck

Clock = trio.testing.MockClock
CALLERS = 200


class Waits(Saga[str]):
    """A saga that waits for a signal and can be cancelled meanwhile."""

    go = signal(str)

    @step(go, compensate=None)
    async def end(self, input: str, go: str, ctx: Context) -> None: ...


async def apply_all(running: Member, key: str, ids: list[str]) -> list[str]:
    """Send many reports at once and return their verdicts."""
    found: dict[str, str] = {}

    async def apply(id: str) -> None:
        found[id] = await running.runtime.apply(key, "report", step="nowhere", id=id)

    with trio.fail_after(300):
        async with trio.open_nursery() as nursery:
            for id in ids:
                nursery.start_soon(apply, id)
    return [found[id] for id in ids]


async def test_all_senders_get_a_verdict_when_the_owner_has_just_died(autojump_clock: Clock) -> None:
    server, second = MemoryServer(), BookTrip(Stop("flight"))
    async with killable() as start:
        stop = Stop("flight")
        victim = await start(server, BookTrip(stop))
        await started(victim, stop)
        beside = await start(server, second)
        victim.kill()
        verdicts = await apply_all(beside, "BookTrip.one", [f"m{n}" for n in range(CALLERS)])
    assert verdicts == ["unknown"] * CALLERS
    record = stands(server, "SAGA_STATE", "BookTrip.one")
    assert record is not None
    assert len(record["applied"]) == 12 * CALLERS


async def test_all_senders_get_a_verdict_when_other_workers_adopt_the_saga(autojump_clock: Clock) -> None:
    """The senders are in a worker that passes their messages on."""
    server = MemoryServer()
    async with killable() as start:
        stop = Stop("flight")
        victim = await start(server, BookTrip(stop))
        await started(victim, stop)
        caller = await start(server, Waits())
        await start(server, BookTrip(Stop("flight")))
        victim.kill()
        verdicts = await apply_all(caller, "BookTrip.one", [f"m{n}" for n in range(CALLERS)])
    assert verdicts == ["unknown"] * CALLERS


async def test_p6_a_repeated_retry_is_applied_once_although_many_messages_came_between(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        runtime = running.runtime
        handle = await stuck(runtime, saga, "one", Trip(fail="tickets"))
        assert await runtime.apply(handle.key, "retry", id="evt-42", by="ann") == "accepted"
        with trio.fail_after(100):
            await settled(handle)
        for number in range(100):
            assert await runtime.apply(handle.key, "mark-undone", step="nowhere", id=f"m{number}") == "nothing to do"
        before = len(saga.calls)
        assert "evt-42" not in [one.id for one in (await record_of(handle)).inbound]
        assert await runtime.apply(handle.key, "retry", id="evt-42", by="ann") == "accepted"
        await trio.sleep(100)
        assert len(saga.calls) == before
        assert suffixes(server, "one").count("operator.retry") == 1
        await handle.terminate("enough", by="ann")
        await until_ended(server, handle.key)
        assert await runtime.apply(handle.key, "retry", id="evt-42") == "accepted", "the archive tells, too"
        assert await runtime.apply(handle.key, "retry", id="evt-43") == "ended"


async def test_a_saga_with_too_many_messages_refuses_more_but_can_be_undone(
    autojump_clock: Clock,
) -> None:
    server = MemoryServer(max_payload=64 * 1024)
    async with member(server, Waits()) as running:
        limits = running.worker.environment.limits
        assert limits.ids < 200
        handle = await running.runtime.start(Waits, "one", "x")
        verdicts = await apply_all(running, handle.key, [f"m{n}" for n in range(300)])
        assert verdicts.count("unknown") == limits.ids
        assert verdicts.count("full") == 300 - limits.ids
        with pytest.raises(NotAllowed, match="the signal go is not taken: the saga has had so many messages"):
            await running.runtime.signal(Waits, "one", Waits.go, "late")
        await handle.cancel("it gets no more")
        outcome = await handle.outcome()
    assert isinstance(outcome, Failed)
    assert outcome.cause == "cancelled"


def terminate(run: str) -> InboxRequest:
    body = {"kind": "terminate", "run": run, "reason": "enough"}
    return msgspec.json.decode(msgspec.json.encode(body), type=InboxRequest)


async def test_a_message_for_another_run_of_an_id_does_nothing_to_this_run(autojump_clock: Clock) -> None:
    """A terminate is under way while the saga ends, is deleted, and its id is started again."""
    server = MemoryServer()
    async with member(server, Waits()) as running:
        handle = await running.runtime.start(Waits, "one", "x")
        address = SagaKey("Waits", "one")
        await running.worker.requests.send(address, "t", terminate("the one before"))
        await trio.sleep(60)
        assert server.inbox == []
        record = await record_of(handle)
        assert (record.status, record.inbound) == ("running", [])
        await running.worker.requests.send(address, "u", terminate(record.run))
        assert isinstance(await handle.outcome(), Failed)
