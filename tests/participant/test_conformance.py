"""The conformance suite over a real server: participants under asyncio and trio, planted faults, and the command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
import pytest
import trio
from sagakit import open_runtime
from sagakit.cli.app import app
from sagakit.client.client_opening import client_config
from sagakit.client.json_shapes import ClauseLine
from sagakit.client.reaching import client_connection, usable_names
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.link_wire import LinkWire
from sagakit.participant import (
    CommandContext,
    KvKeys,
    MemoryKeys,
    NotDone,
    Reject,
    Service,
    open_asyncio_participant,
    open_participant,
    participant_opening,
    serving,
)
from sagakit.participant.conformance.exchange import Tried
from sagakit.participant.conformance.trying import try_participant
from sagakit.participant.serving import Serving
from sagakit.store.ports import Wire, WireEvent, WireMessage
from typer.testing import CliRunner

from tests.cli.processes import SAGAKIT
from tests.participant.faults import NoDedup, NoTombstone
from tests.participant.shop import Buy, Order
from tests.participant.test_clauses import by_verdict
from tests.servers import Server

BOUND = 120
PATIENCE = 5.0
"""Seconds after which a handler that waits for a sign goes on without it: a heartbeat is due within 3."""
NAMESPACE = "conformance"
_names = count(1)


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    """Make the layout once; each participant has a service of its own."""

    async def make() -> None:
        async with open_runtime(server.url, sagas=[Buy()], namespace=NAMESPACE):
            pass

    trio.run(make)
    return server.url


@pytest.fixture(autouse=True)
def quick_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have participants show soon that a handler lives."""
    monkeypatch.setattr(serving, "AGAIN", 0.05)


class Desk:
    """A service that charges. The slow work ends once a sign was heard that a handler lives, or after `PATIENCE`.

    The first time that is a work-in-progress acknowledgment, then a heartbeat.
    """

    def __init__(self, *, knows: bool = False) -> None:
        self.knows = knows
        self.service = Service(f"payments{next(_names)}")
        self.name = self.service.service
        self.signs: list[WireEvent] = []
        self.wire: Wire | None = None
        numbers = count(1)

        @self.service.endpoint("charge")
        async def charge(order: Order, ctx: CommandContext) -> str:
            if order.total == 31 and self.wire is not None:
                self.signs.append(self.wire.event())
                await self.wire.within(PATIENCE, self.signs[-1])
            if order.total > 100:
                raise Reject("limit_exceeded", limit=100)
            return f"r{next(numbers)}"

        @charge.undo("refund")
        async def refund(order: Order, number: str, ctx: CommandContext) -> None: ...

        @charge.check("charged")
        async def charged(order: Order, ctx: CommandContext) -> NotDone | None:
            return NotDone() if self.knows else None

    def tried(self) -> Tried:
        return Tried(
            do=f"{self.name}.charge",
            undo=f"{self.name}.refund",
            check=f"{self.name}.charged",
            payload=msgspec.Raw(b'{"total":30}'),
            refused=msgspec.Raw(b'{"total":300}'),
            slow=msgspec.Raw(b'{"total":31}'),
            horizon=100.0,
        )

    async def verdicts(self, wire: Wire, version: str) -> Sequence[ClauseLine]:
        """Try this participant, which is open elsewhere."""
        self.wire = wire

        def hear(message: WireMessage) -> None:
            beats = message.payload.startswith(b'{"kind":"heartbeat"')
            if self.signs and (beats or (len(self.signs) == 1 and message.payload.startswith(b"+WPI"))):
                self.signs[-1].set()

        names = await usable_names(wire, version, client_config({"namespace": NAMESPACE}))
        await wire.hear(f"$JS.ACK.{names.commands}.{self.name}_charge.>", hear)
        await wire.hear(names.subject(f"sagareply.{self.name}.>"), hear)
        return await try_participant(wire, names, self.tried(), within=30)


def tried_under_asyncio(url: str, keys: MemoryKeys) -> Sequence[ClauseLine]:
    async def run() -> Sequence[ClauseLine]:
        desk = Desk()
        connection = client_connection(url, client_config({}))
        async with (
            asyncio.timeout(BOUND),
            open_asyncio_participant(url, desk.service, keys=keys, namespace=NAMESPACE),
            open_asyncio_wire(connection) as wire,
        ):
            return await desk.verdicts(wire, wire.server_version)

    return asyncio.run(run())


def test_a_participant_under_asyncio_keeps_every_clause(url: str) -> None:
    lines = tried_under_asyncio(url, MemoryKeys(horizon=100.0))
    assert [line for line in lines if line.verdict != "kept"] == []


async def test_a_participant_under_trio_keeps_every_clause(url: str) -> None:
    desk = Desk()
    with trio.fail_after(BOUND):
        async with (
            open_participant(url, desk.service, keys=MemoryKeys(horizon=100.0), namespace=NAMESPACE),
            open_link(client_connection(url, client_config({}))) as link,
        ):
            lines = await desk.verdicts(LinkWire(link), link.server_version)
    assert [line for line in lines if line.verdict != "kept"] == []


async def test_a_participant_with_keys_in_a_bucket_keeps_every_clause(url: str) -> None:
    """The handler is not killed, and so it need not be idempotent here; its check has to know what was not done."""
    desk = Desk(knows=True)
    with trio.fail_after(BOUND):
        async with (
            open_participant(url, desk.service, keys=KvKeys(f"{desk.name}_keys", horizon=100.0), namespace=NAMESPACE),
            open_link(client_connection(url, client_config({}))) as link,
        ):
            lines = await desk.verdicts(LinkWire(link), link.server_version)
    assert [line for line in lines if line.verdict != "kept"] == []


class LateReply(Serving):
    """Acknowledges a command, and works on it then."""

    async def _handle(self, served: Any, message: WireMessage) -> bool:
        self._wire.tell(message.reply, b"+ACK")
        return await super()._handle(served, message)


class LostReply(Serving):
    """Acknowledges commands and answers none."""

    async def _publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> None:
        return


class DoubleReply(Serving):
    """Answers each command twice, the second time in other words."""

    async def _publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> None:
        await super()._publish(subject, payload, headers)
        if headers.get("Nats-Msg-Id"):
            await super()._publish(subject, payload[:-1] + b',"reason":"again"}', headers)


class NoHeartbeats(Serving):
    """Works, and shows no life meanwhile."""

    async def _show_signs(self) -> None:
        return


class Stubborn(Serving):
    """Asks for a command again that it cannot read."""

    async def _bury(self, message: WireMessage, reason: str) -> bool:
        return False


@pytest.mark.parametrize(
    ("keys", "kind", "clause"),
    [
        (NoDedup, Serving, "same-key"),
        (NoTombstone, Serving, "undo-first"),
        (MemoryKeys, LateReply, "acknowledged"),
        (MemoryKeys, LostReply, "acknowledged"),
        (MemoryKeys, DoubleReply, "one-answer"),
        (MemoryKeys, NoHeartbeats, "heartbeats"),
        (MemoryKeys, Stubborn, "unreadable"),
    ],
    ids=[
        "no dedup",
        "no tombstone",
        "late reply",
        "lost reply",
        "double reply",
        "no heartbeats",
        "redelivered for ever",
    ],
)
def test_a_fault_is_found_over_the_wire(
    url: str, keys: type[MemoryKeys], kind: type[Serving], clause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(participant_opening, "Serving", kind)
    assert clause in by_verdict(tried_under_asyncio(url, keys(horizon=100.0)))["broken"]


async def command(url: str, *arguments: str) -> tuple[int | None, str]:
    """Run the command, and return its exit code and its output."""
    given = ["--nats", url, "--namespace", NAMESPACE, "--payload", '{"total":30}', *arguments]
    process = await asyncio.create_subprocess_exec(
        SAGAKIT, "conformance", "participant", *given, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def test_the_command_prints_the_verdicts_and_ends_with_1_if_a_clause_is_broken(url: str) -> None:
    async def run() -> Sequence[tuple[int | None, str]]:
        service = Service("honest")

        @service.endpoint("charge")
        async def charge(order: Order, ctx: CommandContext) -> str:
            return ctx.key

        async with (
            asyncio.timeout(BOUND),
            open_asyncio_participant(url, service, keys=MemoryKeys(), namespace=NAMESPACE),
        ):
            return await asyncio.gather(
                command(url, "--subject", "honest.charge"),
                command(url, "--subject", "nobody.charge", "--timeout", "0.5", "-o", "json"),
            )

    (honest, text), (nobody, lines) = asyncio.run(run())
    assert (honest, nobody) == (0, 1), text
    assert "kept       same-key: work under a key is done once" in text
    assert "not tried  undone:" in text
    assert "           --undo is not given" in text
    verdicts = {line["clause"]: line["verdict"] for line in json.loads(lines)}
    assert (verdicts["done"], verdicts["consumer"], verdicts["same-key"]) == ("broken", "broken", "not tried")


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[tuple[Wire, Any]]:
    async with open_asyncio_wire(client_connection(url, client_config({}))) as wire:
        yield wire, await usable_names(wire, wire.server_version, client_config({"namespace": NAMESPACE}))


def test_nothing_stays_behind_of_commands_that_nobody_takes(url: str) -> None:
    async def run() -> Sequence[object]:
        desk = Desk()
        async with asyncio.timeout(BOUND), looking(url) as (wire, names):
            await try_participant(wire, names, desk.tried(), within=0.2)
            found = []
            for stream, head in ((names.commands, "sagacmd"), (names.inbox, "sagareply")):
                wanted = json.dumps({"subjects_filter": names.subject(f"{head}.{desk.name}.>")}).encode()
                answer = json.loads(await wire.request(f"$JS.API.STREAM.INFO.{stream}", wanted))
                found.append(answer["state"].get("subjects"))
            return found

    assert asyncio.run(run()) == [None, None]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--subject", "sagacmd.payments.charge"], "write SERVICE.ENDPOINT, such as payments.charge"),
        (["--subject", "payments.charge", "--undo", "shop.refund"], "have one service: payments.refund"),
        (["--subject", "payments.charge", "--refused", "{"], "is not JSON"),
    ],
)
def test_a_wrong_command_line_is_told_what_to_write(arguments: list[str], said: str) -> None:
    given = ["conformance", "participant", "--nats", "nats://127.0.0.1:1", "--payload", "1", *arguments]
    done = CliRunner().invoke(app, given)
    assert (done.exit_code, said in done.output) == (2, True), done.output
