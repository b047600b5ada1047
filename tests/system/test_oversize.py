"""A record that is too large for the server stops no other saga, loses nothing, and can be terminated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from msgspec import structs
from sagakit import Completed, Context, Failed, NotAllowed, RetryPolicy, Runtime, Saga, open_runtime, signal, step
from sagakit.engine import Loaded, Record, decode, encode
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.store import open_jetstream
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names
from sagakit.store.ports import Write

from tests.looks import record_of, settled
from tests.servers import Server
from tests.system.members import killable, member, stands, suffixes, until_ended

Clock = trio.testing.MockClock
KEY = "Big.one"


class Big(Saga[str, str]):
    """A saga whose results are as large as its input says, with a signal between them."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    @step
    async def first(self, size: str, ctx: Context) -> str:
        self.calls.append("first")
        return "x" * int(size)

    @first.compensate
    async def undo_first(self, size: str, first: str | None, ctx: Context) -> None:
        self.calls.append(f"undo_first {len(first or '')}")

    go = signal(str, after=[first])

    @step(go, retry=RetryPolicy(max_attempts=1))
    async def second(self, size: str, go: str, ctx: Context) -> str:
        self.calls.append("second")
        return go

    @second.compensate
    async def undo_second(self, size: str, second: str | None, ctx: Context) -> None: ...

    def output(self, input: str, ctx: Context) -> str:
        return f"{len(ctx.result(Big.first))} {ctx.result(Big.second)}"


async def settled_in(runtime: Runtime) -> Record:
    with trio.fail_after(60):
        return await settled(await runtime.get(Big, "one"))


def crashes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.getMessage() for line in caplog.records if line.name.startswith("sagakit_actors")]


# ------------------------------------------------------------------- in memory


async def test_a_message_that_would_make_a_record_too_large_is_refused_and_the_saga_continues(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server, saga = MemoryServer(), Big()
    async with member(server, saga) as running:
        handle = await running.runtime.start(Big, "one", "20000")
        await trio.sleep(5)
        server.max_payload = len(encode(await record_of(handle))) + 600
        with trio.fail_after(60):
            assert await running.runtime.apply(KEY, "report", step="nowhere", id="a") == "unknown"
            with pytest.raises(NotAllowed, match="no room"):
                await running.runtime.signal(Big, "one", Big.go, "y" * 2_000)
            with pytest.raises(NotAllowed, match="no room"):
                await handle.cancel("y" * 400)
        assert (await record_of(handle)).status == "running"
        server.max_payload = 2**20
        await running.runtime.signal(Big, "one", Big.go, "on")
        assert await handle.outcome() == Completed("20000 on")
    assert saga.calls == ["first", "second"]
    assert crashes(caplog) == []


async def test_a_result_that_makes_a_record_too_large_halts_the_saga_with_all_that_it_has(
    autojump_clock: Clock,
) -> None:
    server, saga = MemoryServer(), Big()
    async with member(server, saga) as running:
        handle = await running.runtime.start(Big, "one", "20000")
        await trio.sleep(5)
        for number in range(50):
            await running.runtime.apply(KEY, "report", step="nowhere", id=f"{number:064}")
        payload = "y" * 3_000
        server.max_payload = len(encode(await record_of(handle))) + 2 * len(payload) - 500
        await running.runtime.signal(Big, "one", Big.go, payload)
        record = await settled_in(running.runtime)
        assert record.halted
        assert "its record is too large" in (record.stuck or "")
        assert record.dropped == ("verdicts in words",), "dropping this is enough"
        assert len(msgspec.json.decode(record.steps["first"].result)) == 20_000
        assert len(msgspec.json.decode(record.steps["second"].result)) == 3_000, "the result that came is kept"
        server.max_payload = 2**20
        await handle.retry("the server takes larger messages")
        assert await handle.outcome() == Completed("20000 " + payload)
    assert saga.calls == ["first", "second"]
    assert suffixes(server, "one")[-4:] == ["step.second", "stuck", "operator.retry", "completed"]


async def test_a_server_with_a_much_smaller_max_payload_loses_nothing(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The record cannot be written. The actor keeps what has come in until the server takes larger messages again."""
    server, saga = MemoryServer(), Big()
    async with member(server, saga) as running:
        handle = await running.runtime.start(Big, "one", "20000")
        await trio.sleep(5)
        server.max_payload = 8 * 1024
        with pytest.raises(NotAllowed, match="no room"):
            await running.runtime.signal(Big, "one", Big.go, "on")
        await trio.sleep(1000)
        assert (await record_of(handle)).status == "running"
        server.max_payload = 2**20
        await running.runtime.signal(Big, "one", Big.go, "on")
        assert await handle.outcome() == Completed("20000 on")
    assert saga.calls == ["first", "second"]
    assert crashes(caplog) == []


@pytest.mark.parametrize("adopted", [False, True], ids=["its owner", "an adopter"])
async def test_an_oversize_saga_can_be_terminated(
    adopted: bool, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    async with killable() as start:
        running = await start(server, Big())
        await running.runtime.start(Big, "one", "20000")
        await trio.sleep(5)
        server.max_payload = 8 * 1024
        if adopted:
            running.kill()
            running = await start(server, Big(), scan_interval=1.0)
            await trio.sleep(60)
            before = stands(server, "SAGA_STATE", KEY)
            assert before is not None
            assert (before["status"], before["epoch"]) == ("running", 1), "the record could not be taken over"
        handle = await running.runtime.get(Big, "one")
        with trio.fail_after(100):
            await handle.terminate("too large", by="ann")
            outcome = await handle.outcome()
        assert isinstance(outcome, Failed)
        assert outcome.cause == "terminated"
        await until_ended(server, KEY)
        archived = stands(server, "SAGA_ARCHIVE", KEY)
    assert archived is not None
    assert "results" in archived["dropped"]
    assert suffixes(server, "one")[-2:] == ["operator.terminate", "failed"]
    assert crashes(caplog) == []


async def test_a_saga_that_cannot_be_written_is_left_to_a_worker_that_can(autojump_clock: Clock) -> None:
    """The adopter leaves, and the next worker meets a server that takes larger messages."""
    server, saga = MemoryServer(), Big()
    async with killable() as start:
        first = await start(server, Big())
        await first.runtime.start(Big, "one", "20000")
        await trio.sleep(5)
        first.kill()
        server.max_payload = 8 * 1024
        second = await start(server, Big(), scan_interval=1.0)
        await trio.sleep(60)
        with trio.fail_after(60):
            await second.worker.drain()
        server.max_payload = 2**20
        third = await start(server, saga, scan_interval=1.0)
        with trio.fail_after(100):
            await third.runtime.signal(Big, "one", Big.go, "on")
            assert await (await third.runtime.get(Big, "one")).outcome() == Completed("20000 on")
    assert saga.calls == ["second"]


async def test_large_events_are_published_first(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        first = await start(server, Big())
        await first.runtime.start(Big, "one", "20")
        await trio.sleep(5)
        first.kill()
        entry = server.bucket("SAGA_STATE").read(KEY)
        assert entry is not None
        loaded = decode(KEY, entry.value)
        assert isinstance(loaded, Loaded)
        record = loaded.record
        published = len(server.events)
        large = msgspec.Raw(msgspec.json.encode({"x": "y" * 300}))
        events = [structs.replace(record.outbox[-1], seq=n, data=large) for n in range(published + 1, 60)]
        record = structs.replace(record, outbox=events, next_event=60)
        server.bucket("SAGA_STATE").write(Write(KEY, encode(record), entry.revision))
        server.max_payload = 8 * 1024
        second = await start(server, Big(), scan_interval=1.0)
        await trio.sleep(60)
        with trio.fail_after(100):
            handle = await second.runtime.get(Big, "one")
            await handle.terminate("enough", by="ann")
            assert isinstance(await handle.outcome(), Failed)
            await until_ended(server, KEY)
    assert suffixes(server, "one")[-1] == "failed"


# ---------------------------------------------------------------- on a real server


GONE = "gone-0123456789ab"
"""The id of a worker that is dead."""


async def until_waiting(runtime: Runtime, id: str) -> None:
    with trio.fail_after(60):
        while (await runtime.load(Big, id)).steps.get("go") is None:  # noqa: ASYNC110  # no event tells
            await trio.sleep(0.05)


async def filled_by_hand(url: str, names: Names, spare: int) -> None:
    """Grow the record to the server's limit less `spare` bytes, and name a dead worker as its owner."""
    async with open_jetstream(Connection(servers=(url,)), names=names) as store:
        entry = await store.state.get(KEY)
        assert entry is not None
        fields = msgspec.json.decode(entry.value) | {"owner": GONE, "by_hand": ""}
        fields["by_hand"] = "x" * (store.max_payload - spare - len(msgspec.json.encode(fields)))
        await store.state.update(KEY, msgspec.json.encode(fields), revision=entry.revision)


@pytest.mark.parametrize("spare", [100, 900], ids=["without room for its adoption", "with room for that alone"])
async def test_a_record_that_was_filled_by_hand_is_reported_and_terminated(
    spare: int, server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_runtime(server.url, sagas=[Big()], namespace=namespace) as runtime:
        await runtime.start(Big, "one", "100")
        await until_waiting(runtime, "one")
    await filled_by_hand(server.url, Names(namespace=namespace), spare)
    options: dict[str, Any] = {"namespace": namespace, "lease_ttl": 1.0, "scan_interval": 0.3}
    async with open_runtime(server.url, sagas=[Big()], **options) as runtime:
        with trio.fail_after(60):
            while (await runtime.load(Big, "one")).owner == GONE and "too large" not in caplog.text:  # noqa: ASYNC110
                await trio.sleep(0.05)
            assert ("too large" not in caplog.text) == (spare > 100), "the adoption was written if there was room"
            handle = await runtime.get(Big, "one")
            await handle.terminate("somebody has filled it. " * 15, by="ann")
            outcome = await handle.outcome()
        record = await runtime.load(Big, "one")
    assert isinstance(outcome, Failed)
    assert outcome.cause == "terminated"
    assert record.dropped[-1] == "unknown fields"
    assert "it is cut down" in caplog.text
    assert crashes(caplog) == []


async def test_sagas_continue_after_a_restart_with_a_smaller_max_payload(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(tmp_path, config="max_payload: 1MB")
    server.start()
    try:
        async with open_runtime(server.url, sagas=[Big()]) as runtime:
            for id in ("one", "two"):
                await runtime.start(Big, id, "200000")
                await until_waiting(runtime, id)
        _restart(server, "64KB")
        async with open_runtime(server.url, sagas=[Big()], scan_interval=0.3) as runtime:
            with trio.fail_after(60):
                handle = await runtime.get(Big, "one")
                await handle.terminate("too large", by="ann")
                assert isinstance(await handle.outcome(), Failed)
                record = await runtime.load(Big, "two")
            assert record.status == "running"
        assert crashes(caplog) == []
        _restart(server, "1MB")
        async with open_runtime(server.url, sagas=[saga := Big()], scan_interval=0.3) as runtime:
            with trio.fail_after(60):
                await runtime.signal(Big, "two", Big.go, "on")
                assert await (await runtime.get(Big, "two")).outcome() == Completed("200000 on")
        assert saga.calls == ["second"], "a saga that was left alone lost nothing"
    finally:
        server.stop()


def _restart(server: Server, max_payload: str) -> None:
    server.stop()
    config = server.folder / "nats.conf"
    text = config.read_text()
    before = next(line for line in text.splitlines() if line.startswith("max_payload"))
    config.write_text(text.replace(before, f"max_payload: {max_payload}"))
    server.start()
