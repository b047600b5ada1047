"""A client under the permissions of its role, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sagakit import Client, Completed, Failed
from sagakit.cli.accounts_command import as_server_config
from sagakit.errors import InvalidInput, LoginRefused, NotPermitted
from sagakit.store.names import Names
from sagakit.store.permissions import Role, permissions_of

from tests.client.faces import CLIENTS, Buy, Order, worker
from tests.servers import running_server

ROLES: tuple[Role, ...] = ("client", "operator", "reader")
FACES = pytest.mark.parametrize("face", CLIENTS.values(), ids=CLIENTS)


def users(namespace: str, shards: int) -> str:
    """Return the users of the server: the boss may do everything, the others what their roles may do."""
    names = Names(namespace=namespace, shards=shards)
    granted = {role: as_server_config(permissions_of(role, names, inbox_prefix="_INBOX")) for role in ROLES}
    lines = [f"{{ user: {role}, password: x\n{block} }}" for role, block in granted.items()]
    return "\n".join(["authorization { users: [ { user: boss, password: x }", *lines, "] }"])


@FACES
@pytest.mark.parametrize(("namespace", "shards"), [("", 1), ("shop", 2)])
def test_a_client_needs_the_permissions_of_its_role_and_no_more(
    face: Callable[..., None], namespace: str, shards: int, tmp_path: Path
) -> None:
    async def as_client(client: Client) -> None:
        assert await client.check("client") == []
        head = "shop." if namespace else ""
        assert f"{head}sagaop.>" in [grant.subject for grant in await client.check("operator")]
        handle = await client.start(Buy, "one", Order(7, asks=True))
        async with client.watch(Buy, "one", after="start") as events:
            assert (await anext(events)).type == "saga.Buy.started"
        await client.signal(Buy, "one", Buy.approved, "ann")
        assert await handle.outcome() == Completed("7 ann")
        with pytest.raises(InvalidInput, match="Expected"):
            await client.start("Buy", "wrong", 7, wait="started")
        two = await client.start(Buy, "two", Order(8, asks=True))
        with pytest.raises(NotPermitted, match="sagaop"):
            await two.terminate("no right to")
        await two.cancel()
        assert isinstance(await two.outcome(), Failed)
        assert str(await two.describe()).startswith("Buy two: failed")
        assert len((await client.history(Buy, "two")).events) == 5
        assert len((await client.list(status="failed")).items) == 1

    async def as_operator(client: Client) -> None:
        assert await client.check("operator") == []
        handle = await client.start(Buy, "three", Order(9, breaks=True))
        assert await handle.wait(or_stuck=True) == "stuck"
        await handle.complete_step("charge", "by hand", "seen")
        assert await handle.result() == "by hand"

    async def as_reader(client: Client) -> None:
        assert await client.check("reader") == []
        wanting = [grant.subject.rpartition("saga")[2].rpartition("_")[2] for grant in await client.check("client")]
        assert wanting == ["in.>", "VALUES.start.>", "intake.>", "dead.inbox.*"]
        assert await (await client.get(Buy, "one")).outcome() == Completed("7 ann")
        assert len((await client.list(status="completed")).items) == 2
        with pytest.raises(NotPermitted, match="sagain"):
            await client.start(Buy, "four", Order())

    boss = {"user": "boss", "password": "x"}
    with (
        running_server(tmp_path, config=users(namespace, shards)) as server,
        worker(server, namespace, shards=shards, **boss),
    ):
        for role, body in (("client", as_client), ("operator", as_operator), ("reader", as_reader)):
            face(server.url, body, namespace=namespace, user=role, password="x")


@FACES
def test_a_wrong_password_is_said(face: Callable[..., None], tmp_path: Path) -> None:
    async def never(client: Client) -> None:
        raise AssertionError("it is not opened")

    with running_server(tmp_path, config=users("", 1)) as server, pytest.raises(LoginRefused):
        face(server.url, never, user="client", password="wrong", connect_timeout=1)


@FACES
def test_without_hints_a_client_looks_every_now_and_then(
    face: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagakit.client.changes.NET", 0.1)
    deaf = as_server_config(permissions_of("client", Names(), inbox_prefix="_INBOX"))
    deaf = "\n".join(line for line in deaf.splitlines() if '"$KV.SAGA_STATE.>"' not in line)
    config = f"authorization {{ users: [ {{ user: boss, password: x }}\n{{ user: deaf, password: x\n{deaf} }} ] }}"

    async def body(client: Client) -> None:
        missing = [grant.subject for grant in await client.check()]
        assert missing == ["$KV.SAGA_STATE.>"]
        handle = await client.start(Buy, "one", Order(7, asks=True))
        await client.signal(Buy, "one", Buy.approved, "ann")
        assert await handle.outcome() == Completed("7 ann")

    with running_server(tmp_path, config=config) as server, worker(server, "", user="boss", password="x"):
        face(server.url, body, user="deaf", password="x")
