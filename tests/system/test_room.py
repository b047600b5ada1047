"""A state bucket with a limit: starts are refused in time, running sagas end, and operators' verbs are applied."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, Runtime, Saga, child, open_runtime, step
from sagakit.errors import StoreFull
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names
from sagakit.store.ports import Write
from sagakit.system.io.room import LOOK_IDLE

from tests.looks import record_of
from tests.sagas import BookTrip, Trip
from tests.servers import Server, running_server
from tests.system.full_bucket import MAX_BYTES, Grows, fill, start_all_and_end
from tests.system.members import Member, member, stands, until_ended, until_idle
from tests.system.test_operator_mishaps import Waits, api

Clock = trio.testing.MockClock


def limited() -> MemoryServer:
    server = MemoryServer()
    server.limit("SAGA_STATE", MAX_BYTES)
    return server


async def test_all_started_sagas_end_and_then_starts_continue(server: Server, namespace: str) -> None:
    gate = trio.Event()
    options: dict[str, Any] = {"namespace": namespace, "state_max_bytes": MAX_BYTES}
    async with open_runtime(server.url, sagas=[Grows(gate)], **options) as runtime:
        with trio.fail_after(60):
            ended = await start_all_and_end(runtime, gate)
    assert ended.outcomes == [f"Completed: {ended.started - 2}", "Failed: 2"]
    assert ended.started > 50
    assert f"of {MAX_BYTES:,} bytes" in ended.refusal
    assert f"nats stream edit KV_{namespace}_SAGA_STATE --max-bytes" in ended.refusal


async def test_the_workers_of_a_fleet_leave_room_for_each_others_sagas(autojump_clock: Clock) -> None:
    server, gate = limited(), trio.Event()
    async with (
        member(server, Grows(gate)) as one,
        member(server, Grows(gate)) as two,
        member(server, Grows(gate)) as three,
    ):
        members = (one, two, three)
        async with trio.open_nursery() as nursery:
            for worker in members:
                nursery.start_soon(until_full, worker)
        assert server.bucket("SAGA_STATE").bytes < MAX_BYTES * 0.6
        gate.set()
        for worker in members:
            await worker.retired()
    keys = [entry.key for entry in server.bucket("SAGA_ARCHIVE").entries("Grows")]
    assert len(keys) > 50


async def until_full(worker: Member) -> None:
    with suppress(StoreFull):
        while True:
            await worker.runtime.start(Grows, None, 7)


async def test_an_operator_terminates_a_saga_that_waits_for_its_turn(autojump_clock: Clock) -> None:
    """The bucket is almost full, and the saga whose turn it is takes its time. A terminate needs no turn."""
    server, gate = limited(), trio.Event()
    state = server.bucket("SAGA_STATE")
    async with member(server, Grows(gate, seconds=5.0)) as running:
        handles, _ = await fill(running.runtime, Grows, 7)
        state.write(Write("Other.padding", bytes(round(MAX_BYTES * 0.92) - state.bytes)))
        await trio.sleep(2 * LOOK_IDLE)  # until the worker notices
        gate.set()
        await trio.sleep(1.0)
        waiting = [handle for handle in handles if step_of(server, handle.key, "first") == "running"]
        assert len(waiting) == len(handles) - 1
        with trio.fail_after(1.0):
            await waiting[-1].terminate("to make room")
            ended = await waiting[-1].outcome()
        assert isinstance(ended, Failed)
        assert ended.cause == "terminated"
        with trio.fail_after(100 * len(handles)):
            outcomes = [await handle.outcome() for handle in waiting[:-1]]
        assert set(outcomes) == {Completed(7)}, "each has its turn"


def step_of(server: MemoryServer, key: str, step: str) -> str:
    """Return the state of a step in the durable record."""
    record = stands(server, "SAGA_STATE", key)
    assert record is not None
    state: str = record["steps"][step]["state"]
    return state


class Parent(Saga[int]):
    """A parent that starts its child once the gate is open."""

    def __init__(self, gate: trio.Event) -> None:
        self._gate = gate

    @step(compensate=None, timeout=timedelta(days=1))
    async def first(self, number: int, ctx: Context) -> None:
        await self._gate.wait()

    kid = child(Grows, lambda number, ctx: number, after=[first])


async def test_a_child_may_use_the_room_that_is_reserved_for_running_sagas(autojump_clock: Clock) -> None:
    server, gate = limited(), trio.Event()
    async with member(server, Parent(gate), Grows(gate)) as running:
        parent = await running.runtime.start(Parent, "one", 7)
        await fill(running.runtime, Grows, 7)
        gate.set()
        with trio.fail_after(600):
            assert isinstance(await parent.outcome(), Completed)


async def test_a_start_from_the_inbox_waits_for_room(autojump_clock: Clock) -> None:
    server, gate = limited(), trio.Event()
    async with member(server, Grows(gate)) as running:
        await fill_for_good(running.runtime)
        body = b'{"kind":"start","input":7}'
        await running.store.inbox.send("client", id="m", saga_type="Grows", saga_id="late", payload=body)
        await trio.sleep(60)
        assert stands(server, "SAGA_STATE", "Grows.late") is None
        gate.set()
        await until_ended(server, "Grows.late")


async def fill_for_good(runtime: Runtime) -> None:
    """Start sagas until no more have room, also once the records no longer have the events of their starts."""
    started, before = 0, -1
    while started > before:
        before = started
        started = len((await fill(runtime, Grows, 7))[0])
        await trio.sleep(60)


async def test_a_bucket_that_is_full_at_the_start_is_reported_and_used_once_its_limit_is_raised(
    server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = Names(namespace=namespace)
    options: dict[str, Any] = {"namespace": namespace, "state_max_bytes": MAX_BYTES}
    async with (
        open_link(Connection(servers=(server.url,))) as link,
        open_runtime(server.url, sagas=[], **options) as it,
    ):
        await it._store.state.put("Other.padding", bytes(MAX_BYTES - 2000))
        async with open_runtime(server.url, sagas=[Waits()], **options) as runtime:
            [told] = [record for record in caplog.records if record.name == "sagakit.room"]
            assert told.levelname == "WARNING"
            assert f"the bucket {names.state[0]} holds 19" in told.message
            assert "--max-bytes" in told.message
            with pytest.raises(StoreFull, match="is not started"):
                await runtime.start(Waits, "one", "x")
            config = (await api(link, f"STREAM.INFO.KV_{names.state[0]}"))["config"]
            await api(link, f"STREAM.UPDATE.KV_{names.state[0]}", **config | {"max_bytes": 10 * MAX_BYTES})
            handle = await runtime.start(Waits, "one", "x")
            await runtime.signal(Waits, "one", Waits.go, "hello")
            assert await handle.outcome() == Completed("hello")


async def test_refused_sagas_continue_once_there_is_room_and_are_reported_in_few_lines(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Other writers have filled the bucket, so that not even an end can be written."""
    server, gate = limited(), trio.Event()
    state = server.bucket("SAGA_STATE")
    async with member(server, Grows(gate)) as running:
        handles, _ = await fill(running.runtime, Grows, 7)
        state.write(Write("Other.padding", bytes(MAX_BYTES - state.bytes - len("Other.padding"))))
        gate.set()
        await trio.sleep(120)
        told = [record for record in caplog.records if record.levelname == "WARNING"]
        assert 0 < len(told) <= 3 * 3, "a line a minute and a kind, whatever the number of sagas"
        state.purge("Other.padding")
        with trio.fail_after(600):
            assert {await handle.outcome() for handle in handles} == {Completed(7)}
            assert {(await record_of(handle)).steps["second"].attempt for handle in handles} == {1}, "P12"


async def test_an_account_whose_storage_is_almost_full_starts_nothing(tmp_path: Path) -> None:
    limit = 1_000_000
    account = f"accounts {{ SHOP: {{ jetstream: {{ max_file: {limit} }}, users: [{{ user: ann, password: x }}] }} }}"
    gate = trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        await gate.wait()

    with running_server(tmp_path, config=account) as server:
        async with open_runtime(server.url, sagas=[BookTrip(hook)], user="ann", password="x") as runtime:
            with trio.fail_after(60):
                await runtime._store.meta.put("padding", bytes(round(limit * 0.8)))
                handles, full = await fill(runtime, BookTrip, Trip())
                assert "the account's JetStream storage holds 8" in str(full)
                gate.set()
                assert {await handle.outcome() for handle in handles} == {Completed("tickets-Rome")}
                await until_idle(runtime)
