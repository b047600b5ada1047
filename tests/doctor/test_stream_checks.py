"""Each check of the streams against a real server, with the fault planted."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import trio
from sagakit import Config
from sagakit.doctor import examine, open_patient
from sagakit.doctor.patient import Patient
from sagakit.jetstream import store as jetstream_store
from sagakit.store.names import Names
from sagakit.store.permissions import batched_streams, streams_of
from sagakit.system.open_store import open_store

from tests.chaos.cluster import running_cluster
from tests.doctor.examined import PATIENCE, ask, edit, found, stored
from tests.servers import Server


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


async def test_streams_of_an_older_version_open_as_they_are_and_setup_lets_them_take_batches(
    server: Server, namespace: str
) -> None:
    batched = batched_streams(Names(namespace=namespace))
    async with stored(server, namespace):
        assert (await found(server.url, "SK205", namespace=namespace)).result == "ok"
    for stream in batched:
        await edit(server, stream, allow_atomic=False)
    async with stored(server, namespace) as store:
        finding = await found(server.url, "SK205", namespace=namespace)
        assert (finding.result, finding.value) == ("warn", len(batched))
        assert (await found(server.url, "SK202", namespace=namespace)).result == "ok"
        await store.complete_layout()
    assert (await found(server.url, "SK205", namespace=namespace)).result == "ok"
    assert (await found(server.url, "SK202", namespace=namespace)).result == "ok", "nothing else has changed"


async def test_a_server_without_atomic_batches_is_not_asked_for_them(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def old(*_: object) -> int:
        return 1

    monkeypatch.setattr(jetstream_store, "check_server", old)
    async with stored(server, namespace) as store:
        await store.complete_layout()
    assert (await found(server.url, "SK205", namespace=namespace)).result == "warn"
    monkeypatch.setattr(Patient, "api_level", old)
    finding = await found(server.url, "SK205", namespace=namespace)
    assert (finding.result, "2.12" in finding.found) == ("skipped", True)


async def test_copies_that_are_missing_are_told(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        async with open_store(cluster.url, Config(namespace="many")):
            pass
        async with open_store(cluster.url, Config(namespace="one", replicas=1)):
            pass
        with trio.fail_after(PATIENCE):
            while (await found(cluster.url, "SK203", namespace="many")).result != "ok":  # noqa: ASYNC110
                await trio.sleep(0.1)
        assert (await found(cluster.url, "SK205", namespace="many")).result == "ok"
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
