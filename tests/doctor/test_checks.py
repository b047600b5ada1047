"""Each check of the doctor against a real server, with the fault planted."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import sagakit
import trio
from sagakit import Config
from sagakit.doctor import (
    CHECKS,
    Diagnosis,
    Patient,
    examine,
    fleet_checks,
    not_connected,
    open_patient,
    read_monitoring,
    saga_checks,
    server_checks,
)
from sagakit.errors import CannotConnect
from sagakit.store.names import Names
from sagakit.store.permissions import ROLES, Role, streams_of
from sagakit.store.ports import Store
from sagakit.system.open_store import open_store
from sagakit.times import moment_of

from tests.chaos.cluster import running_cluster
from tests.sagas import BookTrip, Trip
from tests.security.accounts import PASSWORD, guarded, prefix
from tests.servers import Server, free_port, running_server

PATIENCE = 30.0


async def found(url: str, code: str, monitor: str | None = None, role: Role | None = None, **options: Any) -> Diagnosis:
    """Return the finding of one check."""
    monitored = None if monitor is None else await trio.to_thread.run_sync(read_monitoring, monitor)
    async with open_patient(url, Config(**options), role=role, monitored=monitored) as patient:
        (finding,) = await examine(patient, [code])
    assert bool(finding.advice) is (finding.result in ("warn", "bad"))
    return finding


async def ask(url: str, subject: str, payload: Any = None, **options: Any) -> dict[str, Any]:
    """Ask the API of JetStream, and return its answer."""
    async with open_patient(url, Config(**options)) as patient:
        answer = await patient.wire.request(subject, b"" if payload is None else msgspec.json.encode(payload))
    decoded: dict[str, Any] = msgspec.json.decode(answer)
    assert "error" not in decoded, decoded
    return decoded


@asynccontextmanager
async def stored(server: Server, namespace: str, **options: Any) -> AsyncIterator[Store]:
    """Open the store with its buckets and streams made."""
    async with open_store(server.url, Config(namespace=namespace, **options)) as store:
        yield store


async def edit(server: Server, stream: str, **settings: Any) -> None:
    """Change settings of a stream, as `nats stream edit` does."""
    config = (await ask(server.url, f"$JS.API.STREAM.INFO.{stream}"))["config"]
    await ask(server.url, f"$JS.API.STREAM.UPDATE.{stream}", config | settings)


async def run_to_stuck(server: Server, namespace: str, id: str) -> Mapping[str, Any]:
    """Run a saga until it is stuck, and return its record."""
    async with sagakit.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        await runtime.start(BookTrip, id, Trip(fail="tickets"))
        with trio.fail_after(PATIENCE):
            while not (await runtime.list(status="stuck")).items:  # noqa: ASYNC110  # a real server
                await trio.sleep(0.02)
    async with stored(server, namespace) as store:
        entry = await store.state.get(f"BookTrip.{id}")
    assert entry is not None
    record: Mapping[str, Any] = msgspec.json.decode(entry.value)
    return record


async def put(server: Server, namespace: str, key: str, record: Mapping[str, Any]) -> None:
    async with stored(server, namespace) as store:
        await store.state.put(key, msgspec.json.encode(record))


# ------------------------------------------------------------------ all together


async def test_nothing_is_found_where_nothing_is_wrong(server: Server, namespace: str) -> None:
    async with sagakit.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        await (await runtime.start(BookTrip, "one", Trip())).outcome()
        async with open_patient(server.url, Config(namespace=namespace)) as patient:
            findings = await examine(patient)
    assert [finding.code for finding in findings] == [check.code for check in CHECKS]
    not_ok = {finding.code: finding for finding in findings if finding.result != "ok"}
    assert {code: finding.result for code, finding in not_ok.items()} == {"SK104": "skipped", "SK106": "skipped"}


def test_codes_are_in_order_and_used_once() -> None:
    codes = [check.code for check in CHECKS]
    assert codes == sorted(set(codes))


async def test_an_examination_changes_nothing(server: Server, namespace: str) -> None:
    async with stored(server, namespace):
        pass

    async def contents() -> list[Any]:
        async with open_patient(server.url, Config(namespace=namespace)) as patient:
            return [(name, info.state, info.config) for name, info in (await patient.streams()).items()]

    before = await contents()
    for role in ROLES:
        assert (await found(server.url, "SK106", role=role, namespace=namespace)).result == "ok"
    assert msgspec.to_builtins(await contents()) == msgspec.to_builtins(before)


async def test_the_shards_of_the_buckets_are_examined_whatever_the_options_say(server: Server, namespace: str) -> None:
    async with stored(server, namespace, shards=3) as store:
        for key in ("BookTrip.a", "BookTrip.b", "BookTrip.c", "BookTrip.d"):
            await store.state.put(key, b"junk")
    assert (await found(server.url, "SK304", namespace=namespace)).value == 4
    finding = await found(server.url, "SK202", namespace=namespace)
    assert finding.result == "bad"
    assert finding.found == "the buckets were made with shards=3, these options say shards=1"


# ------------------------------------------------------------------ the server


async def test_a_server_that_is_away_is_bad_and_all_else_is_skipped() -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    with pytest.raises(CannotConnect) as caught:
        async with open_patient(url, Config(connect_timeout=0.2)):
            pass
    first, *others = not_connected(caught.value)
    assert (first.code, first.result) == ("SK101", "bad")
    assert "no NATS server answered" in first.found
    assert {finding.result for finding in others} == {"skipped"}
    assert [finding.code for finding in others] == [check.code for check in CHECKS[1:]]


async def test_a_server_that_takes_only_small_messages_is_bad(tmp_path: Path) -> None:
    with running_server(tmp_path, config="max_payload: 1024") as small:
        finding = await found(small.url, "SK102")
    assert finding.result == "bad"
    assert "1,024 bytes (max_payload)" in finding.found


async def test_an_old_server_is_bad(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_checks, "API_LEVEL", 99)
    finding = await found(server.url, "SK102")
    assert finding.result == "bad"
    assert "needs 2.11 or newer" in finding.found


async def test_a_server_without_jetstream_is_bad(tmp_path: Path) -> None:
    with running_server(tmp_path, jetstream=None) as plain:
        assert "JetStream disabled" in (await found(plain.url, "SK103")).found
        async with open_patient(plain.url, Config()) as patient:
            results = {finding.code: finding.result for finding in await examine(patient)}
    assert {code for code, result in results.items() if result == "bad"} == {"SK103"}
    assert results["SK201"] == results["SK303"] == "skipped"


ACCOUNTS = """
accounts {
  none { users: [ { user: none, password: x } ] }
  small { users: [ { user: small, password: x } ], jetstream: { max_disk: 20000, max_streams: 20 } }
}
"""


async def test_an_account_without_jetstream_is_bad(tmp_path: Path) -> None:
    with running_server(tmp_path, config=ACCOUNTS) as limited:
        finding = await found(limited.url, "SK103", user="none", password="x")
        assert (finding.result, "not enabled for this account" in finding.found) == ("bad", True), finding


async def test_an_account_that_is_almost_full_is_told(tmp_path: Path) -> None:
    account: dict[str, Any] = {"user": "small", "password": "x"}
    with running_server(tmp_path, config=ACCOUNTS) as limited:
        assert (await found(limited.url, "SK103", **account)).result == "ok"
        async with open_store(limited.url, Config(**account)) as store:
            for number in range(6):
                await store.state.put(f"BookTrip.{number}", bytes(2900))
        finding = await found(limited.url, "SK103", **account)
    assert finding.result == "warn", finding
    assert "of 20,000 bytes: 8" in finding.found


@pytest.mark.parametrize(
    ("interval", "result", "seconds"),
    [("always", "ok", 0.0), ('"2m"', "warn", 120.0), ("2m", "bad", 2_000_000.0)],
    ids=["before each acknowledgment", "two minutes", "a text that the server reads as two million seconds"],
)
async def test_a_server_that_acknowledges_before_its_fsync_is_told(
    tmp_path: Path, interval: str, result: str, seconds: float
) -> None:
    port = free_port()
    with running_server(tmp_path, config=f"http: 127.0.0.1:{port}", jetstream=f"sync_interval: {interval}") as server:
        finding = await found(server.url, "SK104", monitor=f"http://127.0.0.1:{port}")
    assert (finding.result, finding.value) == (result, seconds), finding


@pytest.mark.parametrize("monitor", ["127.0.0.1:8222", "http://127.0.0.1:1"])
async def test_a_monitoring_port_that_does_not_answer_is_told(server: Server, monitor: str) -> None:
    finding = await found(server.url, "SK104", monitor=monitor)
    assert (finding.result, monitor in finding.found) == ("warn", True), finding


@pytest.mark.parametrize(("ahead", "result"), [(5.0, "warn"), (-3600.0, "bad")])
async def test_a_clock_that_is_off_is_told(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch, ahead: float, result: str
) -> None:
    async with stored(server, namespace):
        pass
    monkeypatch.setattr(server_checks, "time", SimpleNamespace(time=lambda: time.time() + ahead))
    finding = await found(server.url, "SK105", namespace=namespace)
    assert finding.result == result
    assert ("behind" if ahead < 0 else "ahead of") in finding.found
    assert finding.value == pytest.approx(abs(ahead), abs=0.5)


async def test_permissions_that_a_role_lacks_are_named(tmp_path: Path) -> None:
    with guarded(tmp_path, Names(), trace=False) as server:

        async def as_user(user: Role, role: Role) -> Diagnosis:
            account = {"user": user, "password": PASSWORD, "inbox_prefix": prefix(user)}
            return await found(server.url, "SK106", role=role, **account)

        async with open_store(server.url, Config(user="setup", password=PASSWORD, inbox_prefix=prefix("setup"))):
            pass
        for role in ROLES:
            assert (await as_user(role, role)).result == "ok", role
        finding = await as_user("reader", "client")
        assert finding.result == "bad"
        assert "permissions of role client are missing: sagain.>" in finding.found
        finding = await as_user("client", "worker")
        assert " more" in finding.found


# ------------------------------------------------------------------ streams


async def test_a_stream_that_was_deleted_is_bad(server: Server, namespace: str) -> None:
    async with stored(server, namespace):
        pass
    await ask(server.url, f"$JS.API.STREAM.DELETE.{namespace}_SAGA_DEAD")
    finding = await found(server.url, "SK201", namespace=namespace)
    assert (finding.result, finding.value) == ("bad", 1)
    assert f"{namespace}_SAGA_DEAD" in finding.found
    assert (await found(server.url, "SK307", namespace=namespace)).result == "skipped"


async def test_a_bucket_that_only_jobs_need_is_told(server: Server, namespace: str) -> None:
    async with stored(server, namespace):
        pass
    await ask(server.url, f"$JS.API.STREAM.DELETE.KV_{namespace}_SAGA_JOBS")
    assert (await found(server.url, "SK201", namespace=namespace)).result == "warn"


async def test_nothing_is_made_where_nothing_was_set_up(server: Server, namespace: str) -> None:
    async with open_patient(server.url, Config(namespace=namespace)) as patient:
        results = {finding.code: finding.result for finding in await examine(patient)}
    assert {code for code, result in results.items() if result == "bad"} == {"SK201"}
    assert (await found(server.url, "SK201", namespace=namespace)).value == len(streams_of(Names()))


@pytest.mark.parametrize(
    ("stream", "settings", "said"),
    [
        ("KV_{}_SAGA_STATE", {"allow_direct": True}, "allow_direct True in place of False"),
        ("KV_{}_SAGA_STATE", {"max_age": 10**12}, "max_age 1000000000000 in place of 0"),
        ("{}_SAGA_INBOX", {"duplicate_window": 10**9}, "duplicate_window 1000000000 in place of"),
        ("{}_SAGA_DEAD", {"subjects": ["{}.sagadead.inbox.*"]}, "subjects {}.sagadead.inbox.* in place of"),
    ],
)
async def test_a_stream_that_breaks_a_promise_is_bad(
    server: Server, namespace: str, stream: str, settings: dict[str, Any], said: str
) -> None:
    async with stored(server, namespace):
        pass
    given = {
        name: [one.format(namespace) for one in value] if isinstance(value, list) else value
        for name, value in settings.items()
    }
    await edit(server, stream.format(namespace), **given)
    finding = await found(server.url, "SK202", namespace=namespace)
    assert finding.result == "bad"
    assert f"{stream.format(namespace)} has {said.format(namespace)}" in finding.found


async def test_a_stream_that_was_made_with_another_option_is_told(server: Server, namespace: str) -> None:
    async with stored(server, namespace, archive_ttl=3600.0):
        pass
    assert (await found(server.url, "SK202", namespace=namespace, archive_ttl=3600.0)).result == "ok"
    finding = await found(server.url, "SK202", namespace=namespace)
    assert finding.result == "warn"
    assert "max_age 3600000000000 in place of 604800000000000" in finding.found


async def test_a_layout_that_was_overwritten_is_bad(server: Server, namespace: str) -> None:
    async with stored(server, namespace) as store:
        await store.meta.put("layout", b"oops")
    finding = await found(server.url, "SK202", namespace=namespace)
    assert (finding.result, "the key `layout`" in finding.found) == ("bad", True), finding


async def test_copies_that_are_missing_are_told(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        async with open_store(cluster.url, Config(namespace="many")):
            pass
        async with open_store(cluster.url, Config(namespace="one", replicas=1)):
            pass
        with trio.fail_after(PATIENCE):
            while (await found(cluster.url, "SK203", namespace="many")).result != "ok":  # noqa: ASYNC110
                await trio.sleep(0.1)
        finding = await found(cluster.url, "SK203", namespace="one")
        assert (finding.result, finding.value) == ("warn", len(streams_of(Names())))
        assert "with one copy" in finding.found
        name = await cluster.leader("KV_many_SAGA_STATE")
        other = next(node for node in cluster.nodes if node.name != name)
        other.process.signal(signal.SIGKILL)
        await other.process.ended()
        with trio.fail_after(PATIENCE):
            while (finding := await found(cluster.url, "SK203", namespace="many")).result == "ok":  # noqa: ASYNC110
                await trio.sleep(0.1)
        assert finding.result in ("warn", "bad")


async def test_a_bucket_that_is_almost_full_is_told(server: Server, namespace: str) -> None:
    options: dict[str, Any] = {"namespace": namespace, "state_max_bytes": 20_000}
    async with open_store(server.url, Config(**options)) as store:
        assert (await found(server.url, "SK204", **options)).result == "ok"
        for number in range(6):
            await store.state.put(f"BookTrip.{number}", bytes(3000))
    finding = await found(server.url, "SK204", **options)
    assert finding.result == "warn"
    assert f"KV_{namespace}_SAGA_STATE is 9" in finding.found


# ------------------------------------------------------------------ fleet and sagas


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


async def test_dead_letters_are_counted(server: Server, namespace: str) -> None:
    async with stored(server, namespace):
        pass
    await ask(server.url, Names(namespace=namespace).dead_subject("inbox", "BookTrip"), {"why": "no such step"})
    finding = await found(server.url, "SK307", namespace=namespace)
    assert (finding.result, finding.value) == ("warn", 1)


def test_a_lease_is_old_later_than_its_worker_counts_as_dead() -> None:
    """The doctor must not call a lease old that a worker is about to renew: they are renewed every third of the ttl."""
    assert fleet_checks.LATE > 1.0
