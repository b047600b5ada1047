"""Registration with NATS micro: what `nats micro ls|info|stats` asks for, and what a participant answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import sagakit
import sagakit.asyncio
import trio
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats
from sagakit.cli.accounts_command import as_server_config
from sagakit.client.client_opening import client_config
from sagakit.client.reaching import client_connection
from sagakit.errors import Ambiguous, DefinitionError, NoResponders, NotPermitted
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.link_wire import LinkWire
from sagakit.participant import MemoryKeys, Service, open_asyncio_participant, open_participant
from sagakit.participant.registration import QUESTIONS, Registration
from sagakit.participant.server_time import ServerTime
from sagakit.participant.serving import endpoints_of
from sagakit.store.names import Names
from sagakit.store.permissions import permissions_of
from sagakit.store.ports import Wire, WireMessage

from tests.participant.shop import Books, Buy, Order, payments, shipping
from tests.servers import Server, running_server

BOUND = 60


async def asked(wire: Wire, question: str, *, until: Callable[[Any], bool] = lambda answer: True) -> Any:
    """Return the answer to a question, once somebody gives the one that is waited for."""
    answer: Any = None
    for _ in range(BOUND * 20):
        try:
            answer = json.loads(await wire.request(f"$SRV.{question}"))
            if until(answer):
                return answer
        except NoResponders:
            pass
        await wire.sleep(0.05)
    raise AssertionError(f"$SRV.{question}: {answer} after {BOUND} s")


async def nobody_answers(wire: Wire, question: str) -> None:
    for _ in range(BOUND * 20):
        try:
            await wire.request(f"$SRV.{question}")
        except NoResponders:
            return
        except Ambiguous:  # the server took the question to a connection that was just being closed
            continue
        await wire.sleep(0.05)
    raise AssertionError(f"$SRV.{question} is answered after {BOUND} s")


async def is_shown(wire: Wire, namespace: str) -> None:
    """Check what is told of two services, after two sagas went through them and after a command that is no JSON."""
    info = ServiceInfo.from_dict(await asked(wire, "INFO.payments"))
    assert (info.type, info.name, info.version) == ("io.nats.micro.v1.info_response", "payments", "1.4.0")
    assert (await asked(wire, "STATS.payments"))["started"] > "2026"
    assert (info.description, info.metadata) == ("charges cards", {"namespace": namespace})
    charge, refund = info.endpoints
    assert (charge.name, charge.subject) == ("charge", f"{namespace}.sagacmd.payments.charge")
    assert [one.metadata["kind"] for one in (charge, refund)] == ["do", "undo"]
    assert properties(charge.metadata["command_schema"]) == {"total": {"type": "integer"}}
    assert properties(charge.metadata["reply_schema"]) == {"number": {"type": "string"}}
    assert "reply_schema" not in refund.metadata

    for question in (f"PING.payments.{info.id}", "PING.payments", "PING"):
        ping = ServicePing.from_dict(await asked(wire, question))
        assert (ping.type, ping.version) == ("io.nats.micro.v1.ping_response", "1.4.0")

    await wire.request(f"{namespace}.sagacmd.payments.charge", b"no JSON")
    told = await asked(wire, "STATS.payments", until=lambda told: told["endpoints"][0]["num_errors"])
    assert told["type"] == "io.nats.micro.v1.stats_response"
    charged, refunded = ServiceStats.from_dict(told).endpoints
    assert (charged.num_requests, charged.num_errors, refunded.num_requests, refunded.num_errors) == (3, 1, 1, 0)
    assert "JSON is malformed" in (charged.last_error or "")
    assert charged.processing_time > 0
    assert charged.average_processing_time == charged.processing_time // 3

    await nobody_answers(wire, "PING.shipping")


def properties(schema: str) -> object:
    [found] = json.loads(schema)["$defs"].values()
    return found["properties"]


def shown(books: Books) -> Service:
    service = payments(books)
    service.version, service.description = "1.4.0", "charges cards"
    return service


async def test_a_trio_participant_is_shown_until_it_ends(server: Server, namespace: str) -> None:
    with trio.fail_after(2 * BOUND):
        async with (
            sagakit.open_runtime(server.url, sagas=[Buy()], namespace=namespace) as runtime,
            open_link(client_connection(server.url, client_config({}))) as link,
        ):
            wire = LinkWire(link)
            async with (
                open_participant(server.url, shown(Books()), keys=MemoryKeys(), namespace=namespace),
                open_participant(server.url, shipping(), keys=MemoryKeys(), namespace=namespace, micro=False),
            ):
                for number, total in enumerate((30, 200)):
                    await runtime.execute(Buy, str(number), Order(total))
                await is_shown(wire, namespace)
            await nobody_answers(wire, "PING.payments")


def test_an_asyncio_participant_is_shown_until_it_ends(server: Server, namespace: str) -> None:
    async def program() -> None:
        async with (
            asyncio.timeout(2 * BOUND),
            sagakit.asyncio.open_runtime(server.url, sagas=[Buy()], namespace=namespace) as runtime,
            open_asyncio_wire(client_connection(server.url, client_config({}))) as wire,
        ):
            async with (
                open_asyncio_participant(server.url, shown(Books()), keys=MemoryKeys(), namespace=namespace),
                open_asyncio_participant(server.url, shipping(), keys=MemoryKeys(), namespace=namespace, micro=False),
            ):
                for number, total in enumerate((30, 200)):
                    await runtime.execute(Buy, str(number), Order(total))
                await is_shown(wire, namespace)
            await nobody_answers(wire, "PING.payments")

    asyncio.run(program())


async def test_the_role_participant_may_answer(tmp_path: Path) -> None:
    granted = as_server_config(permissions_of("participant", Names(), inbox_prefix="_INBOX_participant"))
    users = f"{{ user: all, password: pw }}, {{ user: participant, password: pw\n{granted} }}"
    own: Any = {"user": "participant", "password": "pw", "inbox_prefix": "_INBOX_participant"}
    with running_server(tmp_path, config=f"authorization {{ users: [{users}] }}") as server, trio.fail_after(2 * BOUND):
        connection = client_connection(server.url, client_config({"user": "all", "password": "pw"}))
        async with (
            sagakit.open_runtime(server.url, sagas=[Buy()], user="all", password="pw"),
            open_participant(server.url, shown(Books()), keys=MemoryKeys(), **own),
            open_link(connection) as link,
        ):
            for question in QUESTIONS:
                assert (await asked(LinkWire(link), f"{question}.payments"))["name"] == "payments"


class NotingWire:
    """A wire to nowhere: it notes what is told, and refuses to hear."""

    def __init__(self, *, max_payload: int = 2**20) -> None:
        self.max_payload = max_payload
        self.told: list[str] = []

    reconnects = 0

    def now(self) -> float:
        return 0.0

    async def request(self, subject: str) -> bytes:
        return b'{"ts":"2026-11-01T00:00:00Z"}'

    def tell(self, subject: str, payload: bytes) -> None:
        self.told.append(subject)

    async def hear(self, subject: str, take: Callable[[WireMessage], None]) -> None:
        raise NotPermitted(subject, publish=False)


def registration(wire: NotingWire, *, namespace: str = "") -> Registration:
    service = payments(Books())
    names = Names(namespace=namespace)
    return Registration(cast("Any", wire), names, service, endpoints_of(service), ServerTime(cast("Any", wire), names))


def metadata(told: bytes) -> Sequence[Mapping[str, str]]:
    return [one["metadata"] for one in json.loads(told)["endpoints"]]


def test_schemas_that_no_message_holds_are_left_out() -> None:
    whole = registration(NotingWire()).answer("INFO")
    less = registration(NotingWire(max_payload=len(whole) - 1)).answer("INFO")
    assert registration(NotingWire(max_payload=len(whole))).answer("INFO").count(b"_schema") == 3
    assert [sorted(one) for one in metadata(less)] == [["kind", "stream"]] * 2


@pytest.mark.parametrize("namespace", ["", "shop"])
def test_an_answer_never_goes_to_a_subject_that_means_something(namespace: str) -> None:
    wire = NotingWire()
    head = f"{namespace}." if namespace else ""
    for reply in (
        "",
        f"{head}sagareply.payments.Buy.1",
        f"{head}sagacmd.payments.charge",
        "$KV.SAGA_STATE.Buy.1",
        "_INBOX.1",
    ):
        for question in QUESTIONS:
            registration(wire, namespace=namespace)._take(WireMessage(f"$SRV.{question}", reply, b"", b""))
    assert wire.told == ["_INBOX.1"] * 3


async def test_an_account_that_may_not_listen_serves_without_being_shown(caplog: pytest.LogCaptureFixture) -> None:
    run: Callable[[Any], Awaitable[None]] = registration(NotingWire()).run
    with trio.fail_after(BOUND):
        await run(trio.Event())
    assert "sagakit permissions participant" in caplog.text
    assert "micro=False" in caplog.text


@pytest.mark.parametrize("version", ["1", "1.2", "v1.2.3", "01.2.3", "1.2.3 ", ""])
def test_a_version_that_nats_micro_does_not_take_is_refused(version: str) -> None:
    with pytest.raises(DefinitionError, match="three numbers"):
        Service("payments", version=version)
