"""Each check of the fleet, of sagas and of their messages against a real server, with the fault planted."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
import sagakit
from sagakit import Config
from sagakit.doctor import (
    Patient,
    examine,
    fleet_checks,
    open_patient,
    saga_checks,
)
from sagakit.store.names import Names
from sagakit.times import moment_of

from tests.doctor.examined import ask, found, put, run_to_stuck, stored
from tests.sagas import BookTrip
from tests.servers import Server


async def test_sagas_without_any_worker_are_bad(server: Server, namespace: str) -> None:
    await run_to_stuck(server, namespace, "one")
    finding = await found(server.url, "SK301", namespace=namespace)
    assert (finding.result, finding.value) == ("bad", 0)
    assert "1 sagas are unfinished" in finding.found


async def test_a_lease_that_is_not_renewed_is_told(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sagakit.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace):
        async with stored(server, namespace) as store:
            lease = {"worker": "paused-1", "name": "paused", "host": "h", "pid": 1, "definitions": {}}
            await store.workers.put("paused-1", msgspec.json.encode(lease))
        real = Patient.leases

        async def later(patient: Patient) -> Any:
            return [one._replace(age=60.0) if one.lease.worker == "paused-1" else one for one in await real(patient)]

        monkeypatch.setattr(Patient, "leases", later)
        finding = await found(server.url, "SK301", namespace=namespace)
    assert (finding.result, finding.value) == ("warn", 1)
    assert "paused-1 (60 s)" in finding.found


async def test_the_age_of_a_lease_is_the_time_since_it_was_renewed(server: Server, namespace: str) -> None:
    async with (
        sagakit.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace),
        open_patient(server.url, Config(namespace=namespace)) as patient,
    ):
        now = await patient.now()
        stored_at = [value.at async for page in patient.reading.workers.values(()) for value in page]
        (lease,) = await patient.leases()
    assert lease.age == pytest.approx(now - stored_at[0], abs=1.0)


async def test_sagas_whose_owner_has_no_lease_are_told(server: Server, namespace: str) -> None:
    record = await run_to_stuck(server, namespace, "one")
    await put(server, namespace, "BookTrip.one", {**record, "owner": "nobody"})
    finding = await found(server.url, "SK302", namespace=namespace)
    assert (finding.result, finding.value) == ("bad", 1)
    assert "an owner without a lease (nobody): BookTrip.one" in finding.found
    async with stored(server, namespace) as store:  # a worker of other types
        lease = {"worker": "other-1", "name": "other", "host": "h", "pid": 1, "definitions": {}}
        await store.workers.put("other-1", msgspec.json.encode(lease))
    assert (await found(server.url, "SK302", namespace=namespace)).result == "warn"


async def test_a_saga_that_was_adopted_meanwhile_is_not_an_orphan(server: Server, namespace: str) -> None:
    record = await run_to_stuck(server, namespace, "one")
    await put(server, namespace, "BookTrip.one", {**record, "owner": "left-1"})
    async with open_patient(server.url, Config(namespace=namespace)) as patient:
        assert list((await patient.live_sagas()).owners) == ["left-1"]
        await put(server, namespace, "BookTrip.one", {**record, "owner": "new-1"})
        (finding,) = await examine(patient, ["SK302"])
    assert finding.result == "ok"


async def test_stuck_sagas_are_counted_by_type(server: Server, namespace: str) -> None:
    record = await run_to_stuck(server, namespace, "one")
    await put(server, namespace, "BookTrip.two", {**record, "saga_id": "two"})
    finding = await found(server.url, "SK303", namespace=namespace)
    assert (finding.result, finding.value) == ("warn", 2)
    assert "2 sagas are stuck" in finding.found
    assert "2 BookTrip" in finding.found


async def test_a_record_that_cannot_be_read_is_bad(server: Server, namespace: str) -> None:
    async with stored(server, namespace) as store:
        await store.state.put("BookTrip.broken", b'{"saga_type": 5}')
    finding = await found(server.url, "SK304", namespace=namespace)
    assert (finding.result, finding.value) == ("bad", 1)
    assert "BookTrip.broken" in finding.found


@pytest.mark.parametrize(("age", "result"), [(5.0, "ok"), (120.0, "warn"), (3600.0, "bad")])
async def test_events_that_wait_to_be_published_are_told(
    server: Server, namespace: str, age: float, result: str
) -> None:
    async with stored(server, namespace) as store:
        lease = {"worker": "w-1", "name": "w", "host": "h", "pid": 1, "definitions": {}, "backlog": age}
        await store.workers.put("w-1", msgspec.json.encode(lease))
    finding = await found(server.url, "SK305", namespace=namespace)
    assert (finding.result, finding.value) == (result, age), finding
    assert "w-1" in finding.found


async def test_a_saga_that_waits_with_published_events_in_its_record_is_fine(server: Server, namespace: str) -> None:
    record = await run_to_stuck(server, namespace, "one")
    event: dict[str, Any] = {
        "specversion": "1.0", "id": "r.9", "source": "sagakit/BookTrip", "type": "saga.BookTrip.stuck",
        "subject": "one", "time": moment_of(time.time() - 3600), "datacontenttype": "application/json",
        "run": "r", "sequence": 9, "data": {},
    }  # fmt: skip
    waiting = {**record, "outbox": [{"seq": 9, "suffix": "stuck", "event": event}]}
    await put(server, namespace, "BookTrip.one", waiting)
    assert (await found(server.url, "SK305", namespace=namespace)).result == "ok"


async def test_messages_that_nobody_takes_are_told(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stored(server, namespace) as store:
        await store.inbox.send("client", id="m1", saga_type="Unknown", saga_id="one", payload=b"{}")
    assert (await found(server.url, "SK306", namespace=namespace)).result == "ok"
    monkeypatch.setattr(saga_checks, "WAITS", 0.0)
    finding = await found(server.url, "SK306", namespace=namespace)
    assert finding.result == "warn"
    assert "1 messages wait in the inbox" in finding.found


@pytest.mark.parametrize(("number", "result"), [(0, "ok"), (7, "ok"), (1_000, "warn")])
async def test_commands_that_wait_are_told_as_the_worker_that_sees_most_says(
    server: Server, namespace: str, number: int, result: str
) -> None:
    async with stored(server, namespace) as store:
        for worker, waiting in (("w-1", number), ("w-2", number // 2)):
            lease = {"worker": worker, "name": "w", "host": "h", "pid": 1, "definitions": {}}
            commands = {"sagakit_Place_start_orders_place": waiting} if waiting else {}
            await store.workers.put(worker, msgspec.json.encode(lease | {"commands": commands}))
    finding = await found(server.url, "SK308", namespace=namespace)
    assert (finding.result, finding.value) == (result, number), finding
    assert not number or f"{number:,} for sagakit_Place_start_orders_place" in finding.found


async def test_dead_letters_are_counted(server: Server, namespace: str) -> None:
    async with stored(server, namespace):
        pass
    names = Names(namespace=namespace)
    await ask(server.url, names.dead_subject("audit", "delete"), {"verb": "delete", "letter": 7})
    finding = await found(server.url, "SK307", namespace=namespace)
    assert (finding.result, finding.value) == ("ok", 0), "what was done with letters is no letter"
    for source in ("inbox", "intake", "command", "edited"):
        await ask(server.url, names.dead_subject(source, "BookTrip"), {"why": "no such step"})
    finding = await found(server.url, "SK307", namespace=namespace)
    assert (finding.result, finding.value) == ("warn", 4)
    assert finding.found.endswith("1 of the inbox, 1 of commands for sagas, 1 of participants, 1 edited")


def test_a_lease_is_old_later_than_its_worker_counts_as_dead() -> None:
    """The doctor must not call a lease old that a worker is about to renew: they are renewed every third of the ttl."""
    assert fleet_checks.LATE > 1.0
