"""The operator commands under the permissions of the roles operator and reader, and no others."""

from __future__ import annotations

from pathlib import Path

from sagakit.cli.accounts_command import as_server_config
from sagakit.cli.exits import CommandExit
from sagakit.store.names import Names
from sagakit.store.permissions import Role, permissions_of

from tests.cli.operators import Operator
from tests.cli.processes import worker
from tests.servers import running_server

ROLES: tuple[Role, ...] = ("operator", "reader")


def users() -> str:
    """Return the users of the server: the boss may do everything, the others what their roles may do."""
    granted = {role: as_server_config(permissions_of(role, Names(), inbox_prefix="_INBOX")) for role in ROLES}
    lines = [f"{{ user: {role}, password: x\n{block} }}" for role, block in granted.items()]
    return "\n".join(["authorization { users: [ { user: boss, password: x }", *lines, "] }"])


def as_user(server: str, folder: Path, name: str) -> Operator:
    return Operator(server, folder, SAGAKIT_USER=name, SAGAKIT_PASSWORD="x")


def test_an_operator_mends_and_a_reader_only_looks(tmp_path: Path) -> None:
    boss = {"SAGAKIT_USER": "boss", "SAGAKIT_PASSWORD": "x"}
    with (
        running_server(tmp_path / "server", config=users()) as server,
        worker(tmp_path / "worker", "parcels", "--nats", server.url, **boss),
    ):
        as_user(server.url, tmp_path, "boss").starts_parcel("first")
        operator, reader = (as_user(server.url, tmp_path, role) for role in ROLES)
        key = operator.starts_parcel("one")
        for someone in (operator, reader):
            assert len(someone.says("list", "-o", "json").json) == 2
            assert someone.says("history", key).code == 0
            assert [line["answers"] for line in someone.says("workers", "-o", "json").json] == [None]
        verb = ("terminate", key, "--reason", "w", "--yes")
        said = reader.says(*verb, "-o", "json")
        assert (said.code, said.out) == (CommandExit.NOT_PERMITTED, "")
        said = operator.says(*verb)
        assert (said.code, said.err.count("may not")) == (0, 0), said
        operator.awaits(key, "failed")
