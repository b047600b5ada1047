"""A runtime with `adopt=False` looks, sends signals and verbs, and owns nothing."""

from __future__ import annotations

import json

import pytest
import sagakit
import trio
import trio.testing
from sagakit import Completed, Context, Failed, NotAllowed, Saga, signal, step
from sagakit.errors import NotRegistered, UnknownSaga
from sagakit.store.memory_server import MemoryServer

from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.system.members import killable, member, stands, until_ended
from tests.system.stuck_sagas import stuck

Clock = trio.testing.MockClock


class Approved(Saga[Trip, str]):
    approve = signal(str)

    @step(approve, compensate=None)
    async def note(self, trip: Trip, by: str, ctx: Context) -> str:
        return by

    def output(self, input: Trip, ctx: Context) -> str:
        return ctx.result(Approved.note)


async def _held(name: str, ctx: Context) -> None:
    if name == "flight":
        await trio.sleep_forever()


async def test_a_looker_adopts_no_saga_of_a_dead_worker(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        service = await start(server, BookTrip(_held))
        for number in range(5):
            await service.runtime.start(BookTrip, f"s{number}", Trip())
        shell_saga = BookTrip()
        shell = await start(server, shell_saga, adopt=False, scan_interval=1.0)
        service.kill()
        await trio.sleep(200)
        assert len((await shell.runtime.list()).items) == 5
        assert shell_saga.calls == [], "the shell has called steps of a service's sagas"
        assert await shell.runtime.list_active() == []
        for number in range(5):
            record = stands(server, "SAGA_STATE", f"BookTrip.s{number}")
            assert record is not None
            assert record["owner"] == service.runtime.worker_id, "the shell has taken the saga over"


async def test_a_looker_writes_no_lease_and_no_plan(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip(), adopt=False) as shell:
        async with shell.store.workers.entries() as leases:
            assert [entry.key async for entry in leases] == []
        async with shell.store.meta.entries("plan") as plans:
            assert [entry.key async for entry in plans] == []
        assert not shell.runtime.ready


async def test_a_looker_takes_nothing_from_the_inbox_and_starts_nothing(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip(), adopt=False) as shell:
        body = json.dumps({"kind": "start", "input": {}}).encode()
        await shell.store.inbox.send("client", id="m", saga_type="BookTrip", saga_id="one", payload=body)
        await trio.sleep(100)
        with pytest.raises(UnknownSaga):
            await shell.runtime.get(BookTrip, "one")
        with pytest.raises(NotAllowed, match=r"adopt=False.* starts no sagas: start it in a worker's runtime"):
            await shell.runtime.start(BookTrip, "two", Trip())
        with pytest.raises(NotAllowed, match=r"adopt=False.* starts no sagas"):
            await shell.runtime.execute(BookTrip, "two", Trip())
        with pytest.raises(NotAllowed, match=r"adopt=False.* takes no sagas over"):
            await shell.runtime.scan()
        async with member(server, BookTrip()):
            await until_ended(server, "BookTrip.one")
            handle = await shell.runtime.get(BookTrip, "one")
            assert await handle.outcome() == Completed("tickets-Rome")


async def test_a_lookers_signals_and_verbs_go_to_the_owner(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with (
        member(server, Approved(), BookTrip()) as service,
        member(server, Approved(), BookTrip(), adopt=False) as shell,
    ):
        await service.runtime.start(Approved, "one", Trip())
        await shell.runtime.signal(Approved, "one", Approved.approve, "eve")
        assert await (await shell.runtime.get(Approved, "one")).outcome() == Completed("eve")
        await stuck(service.runtime, BookTrip(), "two", Trip(fail="tickets"))
        handle = await shell.runtime.get(BookTrip, "two")
        await handle.compensate("by hand", by="eve")
        outcome = await handle.outcome()
    assert isinstance(outcome, Failed)
    assert set(outcome.compensated) == {"flight", "hotel"}


async def test_a_lookers_signal_waits_in_the_inbox_when_no_worker_runs(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        service = await start(server, Approved())
        await service.runtime.start(Approved, "one", Trip())
        shell = await start(server, Approved(), adopt=False)
        service.kill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shell.runtime.signal, Approved, "one", Approved.approve, "eve")
            await trio.sleep(30)
            await start(server, Approved())
        assert await (await shell.runtime.get(Approved, "one")).outcome() == Completed("eve")


async def test_a_listing_shows_sagas_of_unknown_types(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as service, member(server, adopt=False) as shell, member(server) as bare:
        for number in range(3):
            await stuck(service.runtime, BookTrip(), f"s{number}", Trip(fail="tickets"))
        await service.runtime.execute(BookTrip, "t", Trip())
        for runtime in (shell.runtime, bare.runtime):
            assert {info.saga_id for info in (await runtime.list(status="stuck")).items} == {"s0", "s1", "s2"}
            page = await runtime.list(limit=2)
            more = await runtime.list(limit=2, cursor=page.cursor)
            assert {"s0", "s1", "s2"} <= {info.saga_id for info in (*page.items, *more.items)}
            with trio.fail_after(100):
                while not (await runtime.list(status="completed")).items:  # noqa: ASYNC110  # virtual time
                    await trio.sleep(0.1)
            with pytest.raises(NotRegistered):
                await runtime.list(type=BookTrip)


async def test_a_looker_works_on_a_real_server(server: Server, namespace: str) -> None:
    async with (
        sagakit.open_runtime(server.url, sagas=[Approved()], namespace=namespace) as service,
        sagakit.open_runtime(server.url, sagas=[], namespace=namespace, adopt=False) as bare,
        sagakit.open_runtime(server.url, sagas=[Approved()], namespace=namespace, adopt=False) as shell,
    ):
        await service.start(Approved, "one", Trip())
        assert [info.saga_id for info in (await bare.list()).items] == ["one"]
        assert [info.saga_id for info in (await bare.list(limit=1)).items] == ["one"]
        await shell.signal(Approved, "one", Approved.approve, "eve")
        assert await (await shell.get(Approved, "one")).outcome() == Completed("eve")
