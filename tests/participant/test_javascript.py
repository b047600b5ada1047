"""The JavaScript participant: it is typed, keeps every clause under its role, and takes part in sagas."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from sagakit import Context, Reject, Saga, open_runtime, remote, step
from sagakit.cli.accounts_command import as_server_config
from sagakit.client.client_opening import client_config
from sagakit.client.json_shapes import ClauseLine
from sagakit.client.reaching import client_connection
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.messages.step_command import StepCommand
from sagakit.participant.conformance.exchange import Tried
from sagakit.participant.conformance.trying import try_participant
from sagakit.store.names import Names
from sagakit.store.permissions import Role, permissions_of
from sagakit.store.ports import Wire

from tests.participant.javascript import LOCK, client, closed, copied, program, shipping
from tests.servers import Server, running_server

BOUND = 120
NAMES = Names(namespace="shop")
HORIZON = 100.0
ROLES: tuple[Role, ...] = ("participant", "client")
R = msgspec.Raw


@dataclass
class Parcels:
    order: str
    parcels: int


@dataclass
class Shipment:
    number: int


class Deliver(Saga[Parcels, str]):
    ship = remote("shipping.ship", Shipment, send=lambda order, ctx: order, compensate="shipping.recall")

    @step(after=[ship], compensate=None)
    async def announce(self, order: Parcels, ctx: Context) -> str:
        if order.order == "late":
            raise Reject("too_late")
        return f"shipment {ctx.result(Deliver.ship).number}"

    def output(self, input: Parcels, ctx: Context) -> str:
        return ctx.result(Deliver.announce)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("javascript"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server on which participant and client have the permissions of their roles, and `all` has every one."""
    users = "\n".join(
        f"{{ user: {role}, password: pw\n"
        f"{as_server_config(permissions_of(role, NAMES, inbox_prefix=f'_INBOX_{role}'))} }}"
        for role in ROLES
    )
    config = f"authorization {{ users: [{{ user: all, password: pw }}\n{users}\n] }}"
    with running_server(tmp_path_factory.mktemp("guarded"), config=config) as server:
        yield server


def environment(server: Server, role: Role) -> Mapping[str, str]:
    return {
        "NATS_URL": server.url,
        "NATS_USER": role,
        "NATS_PASSWORD": "pw",
        "NATS_INBOX_PREFIX": f"_INBOX_{role}",
        "SAGAKIT_NAMESPACE": NAMES.namespace,
    }


@contextmanager
def serving(package: Path, server: Server, database: str) -> Iterator[subprocess.Popen[str]]:
    more = {"SHIPPING_DB": database, "SIGN_INTERVAL": "50", "HORIZON": str(HORIZON)}
    with shipping(package, {**environment(server, "participant"), **more}) as process:
        yield process


async def made(url: str) -> None:
    async with open_runtime(url, sagas=[Deliver()], namespace=NAMES.namespace, user="all", password="pw"):
        pass


def test_the_package_is_typed(package: Path) -> None:
    done = subprocess.run(
        [package / "node_modules" / ".bin" / "tsc", "--project", "."],
        cwd=package, capture_output=True, text=True, check=False, timeout=BOUND,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_reply_that_is_too_large_is_unknown_and_a_refusal_counts_without_its_detail(package: Path) -> None:
    """The server takes neither, and their commands would come again for ever."""
    script = """
        import { replyThatFits } from "./work.js";
        const command = { key: "k", run: "r", attempt: 1 };
        for (const [answer, size] of [["done", 10], ["done", 2000], ["rejected", 2000]]) {
          const full = { kind: "reply", ...command, answer, payload: "x".repeat(size), code: "c" };
          const { payload = "", code, reason = "" } = replyThatFits(command, full, 1000);
          console.log(replyThatFits(command, full, 1000).answer, payload.length, code, reason.slice(0, 22));
        }
    """
    done = subprocess.run(
        [program("node"), "--input-type=module", "--eval", script],
        cwd=package, capture_output=True, text=True, check=True, timeout=BOUND,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "done 10 c ",
        "unknown 0 undefined the reply is too large",
        "rejected 0 c ",
    ]


def test_the_lock_file_names_no_host() -> None:
    assert re.findall(r"https?://", LOCK.read_text()) == []


async def killed_at_work(url: str, process: subprocess.Popen[str], lock: Path) -> None:
    """Kill the participant while a handler has its transaction open, and remove the handler's command."""
    config = client_config({"user": "all", "password": "pw"})
    async with open_asyncio_wire(client_connection(url, config)) as wire:
        number = await sent(wire)
        async with asyncio.timeout(60):
            while not lock.exists():  # noqa: ASYNC110, ASYNC240  # another process makes it
                await asyncio.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        which = msgspec.json.encode({"seq": number})
        await wire.request(f"$JS.API.STREAM.MSG.DELETE.{NAMES.commands}", which)


async def sent(wire: Wire) -> int:
    key = "Killed/1/r/ship/do/1"
    command = StepCommand(
        kind="do", key=key, action_key=key, key_since=2e9, run="r", attempt=1, deadline=2e9,
        reply_to="shop.sagareply.shipping.Killed.1", payload=R(b'{"order":"7","parcels":1,"packing":600}'),
    )  # fmt: skip
    stored = await wire.request("shop.sagacmd.shipping.ship", msgspec.json.encode(command))
    return int(json.loads(stored)["seq"])


async def verdicts(url: str) -> Sequence[ClauseLine]:
    tried = Tried(
        do="shipping.ship",
        undo="shipping.recall",
        check="shipping.shipped",
        payload=R(b'{"order":"7","parcels":1}'),
        refused=R(b'{"order":"7","parcels":11}'),
        slow=R(b'{"order":"7","parcels":1,"packing":2}'),
        horizon=HORIZON,
    )
    config = client_config({"user": "all", "password": "pw"})
    async with asyncio.timeout(BOUND), open_asyncio_wire(client_connection(url, config)) as wire:
        return await try_participant(wire, NAMES, tried, within=60)


def test_it_keeps_every_clause_under_its_role_also_after_kill_9(guarded: Server, package: Path) -> None:
    trio.run(made, guarded.url)
    lock = package / "conformance.db.lock"
    with serving(package, guarded, "conformance.db") as process:
        asyncio.run(killed_at_work(guarded.url, process, lock))
    assert lock.exists()
    with serving(package, guarded, "conformance.db") as process:
        lines = asyncio.run(verdicts(guarded.url))
        assert [line for line in lines if line.verdict != "kept"] == []
        assert closed(process) == 0


async def test_sagas_start_in_javascript_run_in_python_and_ship_in_javascript(guarded: Server, package: Path) -> None:
    told: dict[str, dict[str, Any]] = {}

    async def ship(order: str, parcels: int) -> None:
        given = ("Deliver", order, json.dumps({"order": order, "parcels": parcels}))
        text = await trio.to_thread.run_sync(client, package, environment(guarded, "client"), *given)
        told[order] = json.loads(text)

    with trio.fail_after(BOUND):
        async with open_runtime(guarded.url, sagas=[Deliver()], namespace=NAMES.namespace, user="all", password="pw"):
            with serving(package, guarded, "saga.db") as process:
                async with trio.open_nursery() as nursery:
                    for order, parcels in (("a 1", 2), ("late", 3), ("much", 11)):
                        nursery.start_soon(ship, order, parcels)
                assert await trio.to_thread.run_sync(closed, process) == 0
    with sqlite3.connect(package / "saga.db") as database:
        rows = database.execute("SELECT order_id, parcels, undone FROM shipments ORDER BY order_id").fetchall()
        (number,) = database.execute("SELECT number FROM shipments WHERE order_id = 'a 1'").fetchone()
    assert rows == [("a 1", 2, 0), ("late", 3, 1)]
    assert (told["a 1"]["status"], told["a 1"]["output"]) == ("completed", f"shipment {number}")
    assert (told["late"]["failure"]["code"], told["late"]["compensated"]) == ("too_late", ["ship"])
    assert told["much"]["failure"]["code"] == "too_many_parcels"
