"""Each check of the server and of the account against a real server, with the fault planted."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sagakit import Config
from sagakit.doctor import (
    CHECKS,
    Diagnosis,
    examine,
    not_connected,
    open_patient,
    server_checks,
)
from sagakit.errors import CannotConnect
from sagakit.jetstream.ports import free_port
from sagakit.store.names import Names
from sagakit.store.permissions import ROLES, Role
from sagakit.system.open_store import open_store

from tests.doctor.examined import found, stored
from tests.security.accounts import PASSWORD, guarded, prefix
from tests.servers import Server, running_server


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
