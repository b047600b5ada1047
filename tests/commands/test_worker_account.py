"""A worker that takes commands under the permissions of its role and of its commands, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sagakit import Config, open_runtime
from sagakit.cli.accounts_command import as_server_config, rights_of
from sagakit.cli.app import app
from sagakit.errors import NotPermitted
from sagakit.jetstream.link_wire import LinkWire
from sagakit.messages.command_permissions import command_grants
from sagakit.store.names import Names, captures
from sagakit.system.given_options import RuntimeOptions
from sagakit.system.open_store import open_store
from typer.testing import CliRunner

from tests.commands.field import Field, Place, outcome
from tests.commands.mortal import commands
from tests.security.accounts import published, violations
from tests.servers import running_server

NAMESPACE = "shop"
NAMES = Names(namespace=NAMESPACE)
OWN: dict[str, Any] = {"stream": None}


@pytest.fixture(params=["users", "own"])
async def field(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Field]:
    """A server whose user `worker` has the rights of a worker that takes the commands of one subject."""
    own = request.param == "own"
    command = Field.command_of(NAMESPACE, **(OWN if own else {}))
    rights = as_server_config(rights_of("worker", NAMES, inbox_prefix="_INBOX", commands=[command]))
    users = f"{{ user: boss, password: x }}\n{{ user: worker, password: x\n{rights} }}"
    config = f"trace: true\nauthorization {{ users: [ {users} ] }}"
    with running_server(tmp_path, config=config) as server:
        async with open_store(server.url, Config(namespace=NAMESPACE, user="boss", password="x")) as store:
            yield await Field.made(server, NAMESPACE, LinkWire(store._link), own=own)  # type: ignore[attr-defined]


async def test_a_worker_needs_the_permissions_of_its_commands_and_no_more(field: Field) -> None:
    command = field.command()
    await field.send("place", {"order_id": "one", "cents": 7})
    await field.send("place", {"order": "no id"})
    worker: RuntimeOptions = {"namespace": NAMESPACE, "user": "worker", "password": "x"}
    async with open_runtime(field.server.url, sagas=[Place()], commands=[command], **worker) as runtime:
        await outcome(runtime, "one")
        await field.acknowledged(command)
    assert violations(field.server) == []
    asked = published(field.server, "worker")
    unused = [
        grant.subject
        for grant in command_grants([command], NAMES)
        if not any(captures(grant.subject, subject) for subject in asked)
    ]
    assert unused == []
    with pytest.raises(NotPermitted, match="CONSUMER"):
        async with open_runtime(field.server.url, sagas=[Place()], commands=[field.command("else")], **worker):
            pass


def test_a_command_that_names_its_stream_needs_no_right_on_others() -> None:
    [*granted] = command_grants([Field.command_of("", stream="ORDERS")], Names())
    consumer = "ORDERS.sagakit_Place_start_orders_place"
    assert [grant.subject for grant in granted] == [
        f"$JS.API.CONSUMER.INFO.{consumer}",
        f"$JS.API.CONSUMER.CREATE.{consumer}",
        f"$JS.API.CONSUMER.MSG.NEXT.{consumer}",
        f"$JS.ACK.{consumer}.>",
    ]


@pytest.mark.parametrize("arguments", [("worker",), ("--accounts",)], ids=" ".join)
def test_the_permissions_of_commands_are_printed(arguments: tuple[str, ...]) -> None:
    given = ("--namespace", NAMESPACE, "--commands", "tests.commands.mortal:commands")
    done = CliRunner().invoke(app, ["permissions", *arguments, *given])
    assert done.exit_code == 0, done.output
    for grant in command_grants(commands, NAMES):
        assert done.stdout.count(f'"{grant.subject}"') == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("reader", "--commands", "tests.commands.mortal:commands"), "only workers take commands"),
        (("worker", "--commands", "tests.commands.mortal:numbers"), "must be a list of Command"),
    ],
)
def test_commands_that_have_no_permissions_are_a_wrong_command_line(arguments: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(app, ["permissions", *arguments])
    assert done.exit_code == 2
    assert says in done.stderr
