"""Foreign values in the buckets are reported once, left alone, and do no harm (P11)."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, open_runtime
from sagakit.cluster import membership
from sagakit.cluster.observer import Observer
from sagakit.errors import Undecodable
from sagakit.ration import LINES, PERIOD, Ration
from sagakit.store.memory import MemoryControl, MemoryKeyValue
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Write

from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.system.members import Member, bounded, killable, member, stands, until_ended
from tests.system.stopped_trips import KEY, Stop, started
from tests.system.test_overwritten import ANSWER

Clock = trio.testing.MockClock


def put(server: MemoryServer, bucket: str, key: str, value: bytes) -> None:
    server.bucket(bucket).write(Write(key, value))


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


async def record_of(server: MemoryServer, **fields: object) -> bytes:
    """Leave the record of a saga in the middle of a call, whose worker is dead."""
    stop = Stop("flight")
    async with member(server, BookTrip(stop)) as victim:
        await started(victim, stop)
        record = stands(server, "SAGA_STATE", KEY)
        assert record is not None
        victim.kill()
    return json.dumps(record | fields).encode()


async def says_so(running: Member, saga_id: str, text: str) -> None:
    """Assert that a caller who asks for the saga is told what its key holds."""
    runtime = running.runtime
    for ask in (runtime.get, runtime.load, runtime.history):
        with pytest.raises(Undecodable, match=text):
            await ask(BookTrip, saga_id)
    with pytest.raises(Undecodable, match=text):
        await runtime.start(BookTrip, saga_id, Trip())
    with pytest.raises(Undecodable, match=text):
        await runtime.apply(f"BookTrip.{saga_id}", "cancel")


@pytest.mark.parametrize("owner", ["dead", "this worker", "another that lives"])
async def test_bytes_of_one_saga_under_the_key_of_another_are_not_run(
    owner: str, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    value = await record_of(server)
    async with killable() as start, bounded():
        running = await start(server, saga := BookTrip(), scan_interval=1e6)
        await until_ended(server, KEY)
        ran = list(saga.calls)
        if owner != "dead":
            lives = running if owner == "this worker" else await start(server, BookTrip(), scan_interval=1e6)
            value = json.dumps(json.loads(value) | {"owner": lives.runtime.worker_id}).encode()
        caplog.clear()
        put(server, "SAGA_STATE", "BookTrip.two", value)
        for _ in range(5):
            await running.runtime.scan()
            await trio.sleep(5)
        assert saga.calls == ran, "the copy was run"
        (report,) = lines(caplog)
        assert report.startswith("BookTrip.two: not a record of this saga (it names the saga 'one' of type 'BookTrip')")
        await says_so(running, "two", "it names the saga 'one'")
        page = await running.runtime.list()
        assert page.items == []
        assert [one.key for one in page.unreadable] == ["BookTrip.two"]
        assert server.bucket("SAGA_STATE").read("BookTrip.two").value == value  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "owner", ["", "a.b.c", ">", "x y", "x" * 10_000, "adopt.BookTrip", "\N{GREEK SMALL LETTER MU}"]
)
async def test_an_owner_that_cannot_be_a_worker_id_is_never_probed(
    owner: str, autojump_clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    value = await record_of(server, owner=owner)
    server.bucket("SAGA_STATE").purge(KEY)
    asked: list[str] = []
    request, get = MemoryControl.request, MemoryKeyValue.get

    async def watched_request(self: MemoryControl, worker_id: str, payload: bytes, *, timeout: float) -> bytes:
        asked.append(worker_id)
        return await request(self, worker_id, payload, timeout=timeout)

    async def watched_get(self: MemoryKeyValue, key: str) -> Any:
        asked.append(key)
        return await get(self, key)

    monkeypatch.setattr(MemoryControl, "request", watched_request)
    async with member(server, saga := BookTrip(), scan_interval=5.0) as running, bounded():
        await trio.sleep(5)
        monkeypatch.setattr(MemoryKeyValue, "get", watched_get)
        caplog.clear()
        put(server, "SAGA_STATE", KEY, value)
        await trio.sleep(100)
        assert owner not in asked
        assert saga.calls == []
        (report,) = lines(caplog)
        assert "is not a worker's id" in report
        assert len(report) < 500
        await says_so(running, "one", "is not a worker's id")
        await running.store.inbox.send(
            "client", id="m", saga_type="BookTrip", saga_id="one", payload=b'{"kind":"cancel"}'
        )
        await trio.sleep(60)
        assert owner not in asked
        put(server, "SAGA_STATE", KEY, json.dumps(json.loads(value) | {"owner": "nobody"}).encode())
        await until_ended(server, KEY)
        assert saga.names == ["flight", "tickets"], "a record that was repaired by hand is adopted"


@pytest.mark.parametrize("bucket", ["SAGA_STATE", "SAGA_ARCHIVE"])
@pytest.mark.parametrize("time", [1e300, -1e300, 1e18, -5.0])
async def test_a_time_outside_the_calendar_breaks_no_listing_and_no_history(
    bucket: str, time: float, autojump_clock: Clock
) -> None:
    server = MemoryServer()
    value = await record_of(server, created_at=time, status="completed")
    server.bucket("SAGA_STATE").purge(KEY)
    put(server, bucket, KEY, value)
    async with member(server, BookTrip()) as running, bounded():
        await says_so(running, "one", "created_at")
        page = await running.runtime.list(status="completed" if bucket == "SAGA_ARCHIVE" else None)
        assert [one.key for one in page.unreadable] == [KEY]
        assert await running.runtime.execute(BookTrip, "beside", Trip()) == Completed("tickets-Rome")


async def test_each_moment_of_the_calendar_has_a_history(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        handle = await runtime.start(BookTrip, "one", Trip())
        await handle.outcome()
        with trio.fail_after(60):
            while (entry := await runtime._store.archive.get(KEY)) is None:  # noqa: ASYNC110  # it is on its way there
                await trio.sleep(0.01)
        for created_at in (0.0, 253_402_300_799.0):
            value = json.dumps(json.loads(entry.value) | {"created_at": created_at}).encode()
            await runtime._store.archive.put(KEY, value)
            assert (await runtime.history(BookTrip, "one")).record.created_at == created_at
            assert [info.created_at for info in (await runtime.list(status="completed")).items] == [created_at]
        for created_at in (1e300, -1.0):  # the calendar has no later moment
            value = json.dumps(json.loads(entry.value) | {"created_at": created_at}).encode()
            await runtime._store.archive.put(KEY, value)
            with pytest.raises(Undecodable, match="created_at"):
                await runtime.history(BookTrip, "one")
            assert [one.key for one in (await runtime.list(status="completed")).unreadable] == [KEY]


@pytest.mark.parametrize("limit", [None, 1])
async def test_an_archive_entry_that_is_not_a_record_is_reported(limit: int | None, autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip(), scan_interval=5.0) as running, bounded():
        handle = await running.runtime.start(BookTrip, "one", Trip())
        await running.runtime.execute(BookTrip, "two", Trip())
        await until_ended(server, KEY)
        await until_ended(server, "BookTrip.two")
        await trio.sleep(100)  # the end markers expire
        put(server, "SAGA_ARCHIVE", KEY, ANSWER)
        page = await running.runtime.list(status="completed", limit=limit)
        assert [info.saga_id for info in page.items] == ["two"]
        (unreadable,) = page.unreadable
        assert unreadable.key == KEY
        assert 'it begins with b\'{"type"' in unreadable.reason
        await says_so(running, "one", "names no saga")
        with pytest.raises(Undecodable, match="names no saga"):
            await handle.outcome()
        await running.runtime.delete(BookTrip, "one")  # repairs it
        assert await running.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")


async def test_an_archive_entry_that_is_not_a_record_is_replaced_when_the_saga_ends(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop)) as running, bounded():
        handle = await started(running, stop)
        put(server, "SAGA_ARCHIVE", KEY, ANSWER)
        stop.go_on.set()
        assert await handle.outcome() == Completed("tickets-Rome")
        await until_ended(server, KEY)
        archived = stands(server, "SAGA_ARCHIVE", KEY)
        assert archived is not None
        assert archived["status"] == "completed"


async def test_unreadable_plans_do_not_keep_a_worker_from_opening(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()):
        (entry,) = server.bucket("SAGA_META").entries("plan")
    put(server, "SAGA_META", entry.key, ANSWER)
    put(server, "SAGA_META", "plan.BookTrip.1.other", b"")
    async with member(server, BookTrip()) as running, bounded():
        assert await running.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")


# ------------------------------------------------------------------- leases


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the ids of the workers that observers look at, in order."""
    found: list[str] = []
    look = Observer.look

    async def noted(self: Observer, worker_id: str) -> Any:
        found.append(worker_id)
        return await look(self, worker_id)

    monkeypatch.setattr(Observer, "look", noted)
    return found


async def test_a_lease_that_is_replaced_kills_no_worker(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start, bounded():
        owner = await start(server, BookTrip(stop), lease_ttl=10.0)
        other = await start(server, BookTrip(), lease_ttl=10.0, scan_interval=1.0)
        handle = await started(owner, stop)
        for _ in range(100):
            put(server, "SAGA_WORKERS", owner.runtime.worker_id, ANSWER)
            await trio.sleep(0.2)
        await trio.sleep(5)
        stop.go_on.set()
        assert await handle.outcome() == Completed("tickets-Rome")
        assert other.worker.recovery.adopted == 0
        assert stands(server, "SAGA_WORKERS", owner.runtime.worker_id)["worker"] == owner.runtime.worker_id  # type: ignore[index]


@pytest.mark.parametrize("when", ["before", "while it runs"])
async def test_a_value_that_is_not_a_lease_is_not_a_worker(
    when: str, autojump_clock: Clock, caplog: pytest.LogCaptureFixture, probed: list[str]
) -> None:
    server = MemoryServer()

    def forge() -> None:
        lease = json.dumps(
            {"worker": "w1", "name": "w", "host": "h", "pid": 1, "definitions": {}, "renewal": 1}
        ).encode()
        for number in range(100):
            put(server, "SAGA_WORKERS", f"forged-{number}", ANSWER)
            put(server, "SAGA_WORKERS", f"a.b.{number}", ANSWER)
            put(server, "SAGA_WORKERS", f"copied-{number}", lease)
        put(server, "SAGA_WORKERS", "adopt.BookTrip", json.dumps({"worker": "adopt.BookTrip"}).encode())

    if when == "before":
        forge()
    async with member(server, BookTrip(), scan_interval=5.0) as running, bounded():
        if when != "before":
            await trio.sleep(1)
            forge()
        await trio.sleep(60)
        assert await running.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
    assert probed == []
    assert lines(caplog) == []


# -------------------------------------------------------------------- hints


async def test_announcements_of_unknown_workers_cost_nothing(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture, probed: list[str]
) -> None:
    caplog.set_level(logging.INFO)
    server = MemoryServer()
    async with killable() as start, bounded():
        running = await start(server, BookTrip(), scan_interval=1e6)
        attacker = await start(server, BookTrip(), scan_interval=1e6)
        await trio.sleep(60)
        caplog.clear()
        probed.clear()
        for number in range(20_000):
            attacker.store.control.announce(["BookTrip"], f"worker-{number:012x}")
        await trio.sleep(60)
        assert set(probed) == {running.runtime.worker_id, attacker.runtime.worker_id}, "they watch each other"
        assert running.worker.observer.dead == frozenset()
        assert lines(caplog) == []


async def test_owners_are_probed_within_the_limit_of_concurrency(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Records may name any number of owners."""
    server = MemoryServer()
    value = await record_of(server)
    server.bucket("SAGA_STATE").purge(KEY)
    for number in range(100):
        copy = json.loads(value) | {"saga_id": f"s{number}", "run": f"r{number}", "owner": f"worker-{number}"}
        put(server, "SAGA_STATE", f"BookTrip.s{number}", json.dumps(copy).encode())
    at_once = most = 0
    look = Observer.look

    async def counted(self: Observer, worker_id: str) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            await trio.sleep(0.1)
            return await look(self, worker_id)
        finally:
            at_once -= 1

    monkeypatch.setattr(Observer, "look", counted)
    monkeypatch.setattr(membership, "LOOKS", 8)
    async with member(server, BookTrip(), scan_interval=1.0), bounded():
        for number in range(100):
            await until_ended(server, f"BookTrip.s{number}")
    assert most == 8


# ---------------------------------------------------------------------- log


def test_a_ration_of_lines_counts_the_lines_that_it_holds_back(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    ration = Ration(logging.getLogger("rationed"), now=lambda: now)
    for number in range(1000):
        ration.say(logging.ERROR, "line %d", number)
    assert [line for line in lines(caplog) if line.startswith("line ")] == [f"line {n}" for n in range(LINES)]
    assert len(lines(caplog)) == LINES + 1
    now = PERIOD
    ration.say(logging.ERROR, "line %d", 1000)
    assert lines(caplog)[-1] == f"line 1000 ({1000 - LINES} more lines of this kind were not logged before)"


async def test_many_foreign_records_are_reported_within_the_ration(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    for number in range(1000):
        put(server, "SAGA_STATE", f"BookTrip.s{number}", ANSWER)
    async with member(server, BookTrip(), scan_interval=1.0) as running, bounded():
        await trio.sleep(30)
        assert len((await running.runtime.list()).unreadable) == 1000
    assert len(lines(caplog)) == LINES + 1
