"""Commands over HTTP: kept once for each id, taken by a worker, refused as a problem."""

from __future__ import annotations

from base64 import b64decode

import httpx
import pytest
import sagakit.web
from sagakit import Client, Command
from sagakit.web.visitors import Everyone

from tests.client.faces import CLIENTS, Buy, worker
from tests.client.test_command_sending import asked
from tests.servers import Server
from tests.web.test_api import post
from tests.web.test_letters import begun
from tests.web.visits import visiting

PLACE = "/api/commands/orders.place"
TAKEN = Command("orders.place", Buy, id="order", input="given", start="all", stream=None)


@pytest.mark.parametrize("face", CLIENTS)
def test_a_command_is_kept_once_and_starts_a_saga_when_a_worker_takes_it(
    face: str, server: Server, namespace: str
) -> None:
    async def send(client: Client) -> None:
        async with visiting(sagakit.web.app(client, authentication=Everyone("operator"), read_only=False)) as http:
            for _ in range(2):
                told = await post(http, PLACE, 202, id="c7", data={"order": "o7", "given": {"number": 7}})
                assert told == {"subject": "orders.place", "id": "c7"}
            found = await asked(client, f"STREAM.INFO.{client.names.intake}")
            assert found["state"]["messages"] == 1

    async def take(client: Client) -> None:
        assert await (await begun(client, "o7")).result() == "7 unasked"

    with worker(server, namespace, Buy()):
        CLIENTS[face](server.url, send, namespace=namespace)
    with worker(server, namespace, Buy(), commands=[TAKEN]):
        CLIENTS[face](server.url, take, namespace=namespace)


def test_a_command_that_cannot_be_sent_is_a_problem(server: Server, namespace: str) -> None:
    async def main(client: Client) -> None:
        async with visiting(sagakit.web.app(client, authentication=Everyone("operator"), read_only=False)) as http:
            for place, body, says in (
                ("/api/commands/orders.*", {"id": "c7", "data": {}}, "without wildcards"),
                ("/api/commands/orders..place", {"id": "c7", "data": {}}, "without wildcards"),
                (PLACE, {"id": " ", "data": {}}, "needs an id"),
                (PLACE, {"data": {}}, "`id`"),
                (PLACE, {"id": "c7"}, "`data`"),
                (PLACE, {"id": "c7", "data": {}, "why": "x"}, "unknown field"),
            ):
                told = await post(http, place, 422, **body)
                assert (told["code"], says in told["detail"]) == ("InvalidInput", True), told
        async with visiting(sagakit.web.app(client, authentication=Everyone("viewer"), read_only=False)) as http:
            assert (await post(http, PLACE, 403, id="c7", data={}))["code"] == "NotAllowedHere"
        assert (await asked(client, f"STREAM.INFO.{client.names.intake}"))["state"]["messages"] == 0

    with worker(server, namespace, Buy()):
        CLIENTS["asyncio"](server.url, main, namespace=namespace)


def test_numbers_of_a_command_keep_their_digits(server: Server, namespace: str) -> None:
    async def main(client: Client) -> None:
        async with visiting(sagakit.web.app(client, authentication=Everyone("operator"), read_only=False)) as http:
            text = b'{"id": "c7", "data": {"cents": 123456789012345678901234567890.10}}'
            answer: httpx.Response = await http.post(PLACE, content=text, headers={"Content-Type": "application/json"})
            assert answer.status_code == 202, answer.text
        message = await asked(client, f"STREAM.MSG.GET.{client.names.intake}", seq=1)
        assert b64decode(message["message"]["data"]) == b'{"cents": 123456789012345678901234567890.10}'

    with worker(server, namespace, Buy()):
        CLIENTS["asyncio"](server.url, main, namespace=namespace)
