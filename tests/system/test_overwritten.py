"""A foreign value replaces a live record, and the owner writes its record back (P7, P8, P11)."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, Failed
from sagakit.errors import Fenced, Undecodable
from sagakit.store.faults import StoreFault, Watched
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Write

from tests.looks import settled
from tests.sagas import BookTrip, Trip
from tests.system.deliveries import Remind
from tests.system.leases import Leases
from tests.system.members import EPOCH, bounded, crash, killable, member, stands, suffixes, until_ended
from tests.system.stopped_trips import KEY, Hold, Stop, started

Clock = trio.testing.MockClock

ANSWER = b'{"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":404,"err_code":10059}}'
"""The answer that JetStream publishes to the reply subject of a request, whatever that subject is."""
FOREIGN = {
    "an answer of the API": ANSWER,
    "nothing": b"",
    "no JSON": b"\xff{",
    "a list": b"[]",
    "null": b"null",
    "half a record": b'{"schema":1,"saga_type":"BookTrip","saga_id":"one"}',
}


def overwrite(server: MemoryServer, value: bytes, key: str = KEY) -> int:
    """Replace the record, as a writer without the right to do so would."""
    return server.bucket("SAGA_STATE").write(Write(key, value))


def value_of(server: MemoryServer, key: str = KEY) -> bytes | None:
    entry = server.bucket("SAGA_STATE").read(key)
    return None if entry is None else entry.value


def changed(server: MemoryServer, **fields: object) -> bytes:
    """Return the stored record with other values."""
    return json.dumps((stands(server, "SAGA_STATE", KEY) or {}) | fields).encode()


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]


@pytest.mark.parametrize("found", FOREIGN)
async def test_p8_the_next_write_replaces_the_foreign_value(
    found: str, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, saga := BookTrip(stop), scan_interval=1e6) as running, bounded():
        handle = await started(running, stop)
        overwrite(server, FOREIGN[found])
        stop.go_on.set()
        assert await handle.outcome() == Completed("tickets-Rome")
        await until_ended(server, KEY)
        assert running.runtime.metrics()["overwritten_total"] == 1
        assert running.runtime.metrics()["fenced_total"] == 0
    assert saga.names == ["hotel", "flight", "tickets"]
    record = stands(server, "SAGA_ARCHIVE", KEY)
    assert record is not None
    assert record["epoch"] == 1
    (alarm,) = alarms(caplog)
    assert KEY in alarm
    assert repr(FOREIGN[found][:20])[:-1] in alarm
    assert suffixes(server, "one") == ["started", "step.hotel", "step.flight", "step.tickets", "completed"]


@pytest.mark.parametrize("ack", ["kept", "lost"])
@pytest.mark.parametrize(
    ("position", "refuse"), [*((position, "") for position in (2, 3, 4)), *((n, "tickets") for n in range(2, 7))]
)
async def test_p8_a_saga_ends_the_same_whichever_of_its_writes_is_replaced(
    position: int, refuse: str, ack: str, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The value is replaced right after the write: before its acknowledgment, or with the acknowledgment lost."""
    server, saga = MemoryServer(), BookTrip()
    writes = 0

    def attack(write: Watched) -> None:
        nonlocal writes
        if write.where == "state":
            writes += 1
            if writes == position:
                overwrite(server, ANSWER)

    if ack == "kept":
        server.faults.after_write = attack
    else:
        server.faults.before_write = attack
        server.faults.order(*[StoreFault(kind="slow", key=KEY)] * (position - 1), StoreFault(kind="lose_ack", key=KEY))
    async with member(server, saga, scan_interval=1e6) as running, bounded():
        outcome = await running.runtime.execute(BookTrip, "one", Trip(refuse=refuse))
        await until_ended(server, KEY)
        assert running.worker.environment.overwritten_count == 1
        assert running.worker.environment.fenced_count == 0
    assert outcome == Completed("tickets-Rome") if not refuse else isinstance(outcome, Failed)
    assert len(set(saga.calls)) == len(saga.calls), "a call was made twice"
    assert len(alarms(caplog)) == 1


async def test_a_scan_restores_the_record_byte_for_byte_while_an_attempt_runs(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop), scan_interval=1e6) as running, bounded():
        handle = await started(running, stop)
        before = value_of(server)
        for number in range(1, 4):
            overwrite(server, ANSWER)
            await running.runtime.scan()
            await trio.testing.wait_all_tasks_blocked()
            assert value_of(server) == before
            assert running.worker.environment.overwritten_count == number
        await running.runtime.scan()
        assert len(alarms(caplog)) == 3
        stop.go_on.set()
        assert await handle.outcome() == Completed("tickets-Rome")


async def test_a_scan_of_new_keys_finds_the_foreign_value(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop), scan_interval=2.0) as running, bounded():
        await started(running, stop)
        before = value_of(server)
        await trio.sleep(5)
        overwrite(server, ANSWER)
        await trio.sleep(5)
        assert value_of(server) == before
        assert running.worker.environment.overwritten_count == 1


async def test_a_record_of_another_saga_is_not_accepted(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, saga := BookTrip(stop), scan_interval=1e6) as running, bounded():
        handle = await started(running, stop)
        overwrite(server, changed(server, saga_id="two"))
        stop.go_on.set()
        assert await handle.outcome() == Completed("tickets-Rome")
    assert saga.names == ["hotel", "flight", "tickets"]


@pytest.mark.parametrize(
    "fields",
    [
        {"owner": "other-1", "epoch": 2, "write": "other-1:1"},
        {"owner": "other-1", "run": "another", "epoch": 1},
        {"schema": 99, "owner": "other-1"},
        {"schema": 99, "owner": "other-1", "steps": "as a newer one has them"},
    ],
    ids=["another owner", "another run", "a newer schema", "a newer schema that cannot be read"],
)
async def test_p7_a_record_that_another_worker_may_have_written_is_never_overwritten(
    fields: dict[str, object], autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop), scan_interval=1e6) as running, bounded():
        handle = await started(running, stop)
        other = changed(server, **fields)
        overwrite(server, other)
        stop.go_on.set()
        with pytest.raises(Fenced):
            await handle.outcome()
        await running.retired()
        assert value_of(server) == other
        assert running.worker.environment.overwritten_count == 0
    assert alarms(caplog) == []


async def test_p7_an_end_marker_is_never_overwritten(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop), scan_interval=1e6) as running, bounded():
        handle = await started(running, stop)
        marker = b'{"ended":1800000000,"outcome":"completed","input_digest":"","run":"r"}'
        overwrite(server, marker)
        stop.go_on.set()
        with pytest.raises(Fenced):
            await handle.outcome()
        assert value_of(server) == marker


@pytest.mark.parametrize("since", ["the lease lapsed", "a reconnect"])
async def test_p7_a_worker_that_may_have_lost_the_saga_leaves_it_alone(
    since: str, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another worker may have adopted the saga before its record was replaced; the stored value cannot tell."""
    server, stop = MemoryServer(), Stop("flight")
    leases = Leases(server, monkeypatch)
    async with member(server, BookTrip(stop), scan_interval=1e6, lease_ttl=10.0) as running, bounded():
        handle = await started(running, stop)
        if since == "the lease lapsed":
            leases.full = True
            await trio.sleep(10.1)
            leases.full = False
            await trio.sleep(5)
            overwrite(server, ANSWER)
        else:
            server.faults.begin_outage()
            await trio.sleep(1)
            overwrite(server, ANSWER)
            server.faults.end_outage()
        stop.go_on.set()
        with pytest.raises(Fenced, match="may have adopted"):
            await handle.outcome()
        await running.retired()
        assert value_of(server) == ANSWER
        await running.runtime.scan()
        await running.runtime.scan()
    (alarm,) = alarms(caplog)
    assert "another worker's by now" in alarm
    assert [line.getMessage() for line in caplog.records if line.name == "sagakit.recovery"] == [
        str(Undecodable(KEY, f"not a record of this saga (it names no saga); it begins with {ANSWER[:80]!r}"))
    ]


@pytest.mark.parametrize("lapsed", [False, True], ids=["a short outage", "a lease that lapsed"])
async def test_a_scan_after_a_reconnect_proves_ownership(lapsed: bool, autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop), scan_interval=1e6, lease_ttl=10.0) as running, bounded():
        handle = await started(running, stop)
        server.faults.begin_outage()
        await trio.sleep(15 if lapsed else 1)
        server.faults.order(StoreFault(kind="slow", key=running.runtime.worker_id, delay=0.5))  # the lease's renewal
        server.faults.end_outage()
        await trio.sleep(1)
        overwrite(server, ANSWER)
        stop.go_on.set()
        assert await handle.outcome() == Completed("tickets-Rome")
        assert running.worker.environment.overwritten_count == 1


async def test_an_action_that_waits_for_the_lease_is_not_called_over_a_foreign_value(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stop = MemoryServer(), Stop("hotel")
    leases = Leases(server, monkeypatch)
    async with member(server, saga := BookTrip(stop), scan_interval=1e6, lease_ttl=10.0) as running, bounded():
        handle = await running.runtime.start(BookTrip, "one", Trip())
        await leases.lapse_during(stop)
        await trio.sleep(1)
        overwrite(server, ANSWER)
        leases.full = False
        with pytest.raises(Fenced, match="may have adopted"):
            await handle.outcome()
    assert saga.names == ["hotel"]


@pytest.mark.usefixtures("quiet_crashes")
@pytest.mark.parametrize("crashes", [1, 3], ids=["once", "until it is given up"])
async def test_a_crashed_actor_restores_the_record_of_its_last_incarnation(crashes: int, autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Hold("flight")
    options: dict[str, Any] = {"scan_interval": 1e6, "max_restarts": 2, "restart_period": 60.0}
    async with member(server, BookTrip(stop), **options) as running, bounded():
        handle = await started(running, stop)
        for number in range(crashes):
            overwrite(server, ANSWER)
            crash(running, KEY)
            await trio.sleep(10)
            record = stands(server, "SAGA_STATE", KEY)
            assert record is not None
            assert record["epoch"] == number + 2, "it was taken over"
        stop.go_on.set()
        if crashes == 1:
            assert await handle.outcome() == Completed("tickets-Rome")
        else:
            assert (await settled(handle)).status == "stuck"


@pytest.mark.parametrize("found", FOREIGN)
async def test_p11_a_passivated_saga_whose_record_was_replaced_is_reported_once(
    found: str, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The record is in no worker's memory. The actor must not crash again and again over the foreign value."""
    server = MemoryServer()
    key = "Remind.one"
    async with member(server, Remind(), scan_interval=10.0, passivate_after=1.0) as running, bounded():
        handle = await running.runtime.start(Remind, "one", EPOCH + 200)
        await trio.sleep(10)
        assert running.runtime.passivated == 1
        before = value_of(server, key)
        assert before is not None
        overwrite(server, FOREIGN[found], key)
        await trio.sleep(400)
        assert value_of(server, key) == FOREIGN[found]
        (report,) = [line.getMessage() for line in caplog.records if line.levelno >= logging.WARNING]
        assert report.startswith(f"{key}: not a record of this saga")
        with pytest.raises(Undecodable, match="left alone"):
            await handle.outcome()
        overwrite(server, before, key)  # an operator has repaired it
        await trio.sleep(100)
        await handle.outcome()


async def test_a_record_that_is_replaced_before_its_adoption_is_left_alone(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The adopter does not own it yet, and other workers may be adopting it."""
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start, bounded():
        victim = await start(server, BookTrip(stop))
        await started(victim, stop)
        victim.kill()

        attacks: list[Watched] = []

        def attack(write: Watched) -> None:
            if write.key == KEY and not attacks:
                attacks.append(write)
                overwrite(server, ANSWER)

        server.faults.before_write = attack
        heir = await start(server, saga := BookTrip(), scan_interval=1.0)
        await trio.sleep(30)
        assert attacks, "the worker did not try to adopt it"
        assert value_of(server) == ANSWER
        assert heir.worker.environment.overwritten_count == 0
    assert saga.names == []
    assert sum("left alone" in line.getMessage() for line in caplog.records) == 1
