"""Hidden values: no page, no answer of the API and no command shows them, whatever the saga and the route."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import msgspec
import pytest
import sagakit.web
from sagakit import Client, Context, Reject, Saga, signal, step
from sagakit.errors import InvalidConfig
from sagakit.web.application import PAGES
from sagakit.web.endpoints import ENDPOINTS

from tests.cli.operators import Operator
from tests.client.faces import ONCE
from tests.client.test_dead_letters import bury
from tests.servers import Server
from tests.web.test_streaming import listening
from tests.web.visits import no_client, visit

SECRET = "s3cret-4111"
SEEN = "lamp"
PATHS = ["card.number", "pin", "attributes.email", "*token*", "result.code", "payload.code"]


class Card(msgspec.Struct):
    number: str


class Payment(msgspec.Struct):
    card: Card
    pin: str
    sku: str = SEEN
    asks: bool = False
    fails: str = ""


class Held(msgspec.Struct):
    token: str
    sku: str = SEEN


class Confirmation(msgspec.Struct):
    code: str


def asks(payment: Payment, ctx: Context) -> bool:
    return payment.asks


class Pay(Saga[Payment, Held]):
    @step(retry=ONCE, compensate=None)
    async def hold(self, payment: Payment, ctx: Context) -> Held:
        if payment.fails == "refused":
            raise Reject("no funds", pin=payment.pin)
        return Held(SECRET)

    confirmed = signal(Confirmation, after=[hold], when=asks)

    @step(confirmed, pivot=True, retry=ONCE)
    async def charge(self, payment: Payment, confirmed: Confirmation | None, ctx: Context) -> Held:
        if payment.fails == "breaks":
            raise RuntimeError("the bank is down")
        return Held(SECRET)

    def output(self, input: Payment, ctx: Context) -> Held:
        return Held(SECRET)


SAGAS = ("done", "asked", "breaks", "refused")
QUERIES = {
    "/sagas/act": ["?verb=cancel&where=type+%3D+Pay"],
    "/stuck/act": ["?verb=retry&type=Pay&step=charge"],
    "/dead-letters/act": ["?verb=resend"],
    "/sagas": ["?where=type+%3D+Pay+and+status+in+(stuck,completed)&column=attributes.email&column=attributes.sku"],
    "/sagas/{type}/{id}": ["", "?at=1", "?at=2"],
    "/api/sagas": ["?ended=true"],
    "/api/jobs/preview": ["?verb=cancel&where=type+%3D+Pay"],
    "/api/sagas/{type}/{id}/history": ["?all=true"],
}
"""The queries with which a route is asked; others get none."""
SHOWN = (
    "/sagas/Pay/done", "/sagas/Pay/asked?at=2", "/api/sagas?ended=true", "/api/sagas/Pay/asked", "events of asked",
    "/api/sagas/Pay/asked/record", "/api/sagas/Pay/done/outcome", "/api/sagas/Pay/asked/history?all=true",
)  # fmt: skip
"""Answers with values, of which a part is seen and a part is hidden."""
COMMANDS = (
    ["describe", "Pay.asked"],
    ["history", "Pay.asked"],
    ["replay", "Pay.asked", "-o", "json"],
    ["list", "--ended", "--columns", "attributes.email,attributes.sku"],
    ["watch", "Pay.asked", "--until-ended"],
)


async def some_sagas(client: Client) -> None:
    for id in SAGAS:
        given = Payment(Card(SECRET), SECRET, asks=id == "asked", fails=id)
        handle = await client.start(Pay, id, given, attributes={"email": SECRET, "sku": SEEN})
        if id == "asked":
            await client.signal(Pay, id, Pay.confirmed, Confirmation(SECRET))
        await handle.wait(or_stuck=True)


def filled(path: str, given: dict[str, str]) -> list[str]:
    """Return the addresses of a route: one for each saga if it is about one."""
    ids = SAGAS if "/{type}/{id}" in path else (given["job"],)
    if "/signals/" in path:
        given = {**given, "name": "confirmed"}
    return [re.sub(r"\{(\w+)\}", lambda name: {**given, "id": id}[name[1]], path) for id in ids]  # noqa: B023


async def all_answers(http: httpx.AsyncClient, given: dict[str, str]) -> dict[str, str]:
    """Return the texts of all routes that look, but for streams, by their addresses."""
    routes = [path for method, path, *_ in PAGES if method == "GET"]
    routes += [one.path for one in ENDPOINTS if one.method == "GET" and not one.streams]
    found: dict[str, str] = {}
    for route in routes:
        for address in filled(route, given):
            for query in QUERIES.get(route, [""]):
                answer = await http.get(address + query)
                assert answer.status_code in (200, 202), (address + query, answer.text)
                found[address + query] = answer.text
    return found


def test_no_route_and_no_command_shows_a_hidden_value(server: Server, namespace: str, tmp_path: Path) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        await some_sagas(client)
        letter = await bury(client, "sagain.Pay.one", msgspec.json.encode({"payload": {"pin": SECRET}, "sku": SEEN}))
        order = {"verb": "retry", "where": "type = Pay and status = stuck", "reason": "again"}
        job = (await http.post("/api/jobs", json=order, headers={"Prefer": "wait=60"})).json()["job"]
        given = {"type": "Pay", "name": "console.css", "letter": str(letter), "job": job}
        texts = await all_answers(http, given)
        again = msgspec.json.encode({"id": "done", "input": Payment(Card(SECRET), SECRET, fails="done")})
        headers = {"Prefer": "wait=60", "Content-Type": "application/json"}
        texts["start"] = (await http.post("/api/sagas/Pay", content=again, headers=headers)).text
        app = sagakit.web.app(client, redact=PATHS)
        async with listening(app, "/api/sagas/Pay/asked/events", "after=start") as events:
            told = [await events.next()]
            while not told[-1][1]["event"].endswith("completed"):
                told.append(await events.next())
        texts["events of asked"] = str(told)
        assert [name for name, text in texts.items() if SECRET in text] == []
        for name in (*SHOWN, "start", f"/dead-letters/{letter}", f"/api/dead-letters/{letter}"):
            assert (SEEN in texts[name], "***" in texts[name]) == (True, True), (name, texts[name])
        assert "Parts of the payload are hidden here" in texts[f"/dead-letters/{letter}"]
        for path in ("/api/sagas", "/sagas", "/api/count", "/api/groups", "/api/jobs/preview", "/sagas/act"):
            query = {"where": f"attributes.email = {SECRET}", "verb": "cancel"}
            refused = await http.get(path, params=query)
            assert (refused.status_code, "it is hidden here" in refused.text) == (422, True), path

    visit("asyncio", server, namespace, body, Pay(), redact=PATHS)
    operator = Operator(server.url, tmp_path, SAGAKIT_NAMESPACE=namespace)
    commands = [*COMMANDS, ["dead-letters", "show", "1"]]
    for words in commands:
        plain = operator.says(*words)
        assert (plain.code, SECRET in plain.out) == (0, True), (words, plain)
        said = operator.says(*words, environment={"SAGAKIT_REDACT": ",".join(PATHS)})
        assert (said.code, SECRET in said.out, SEEN in said.out, "***" in said.out) == (0, False, True, True), said
    wrong = operator.says("describe", "Pay.done", environment={"SAGAKIT_REDACT": "a..b"})
    assert (wrong.code, "is not the path of a field" in wrong.err) == (78, True), wrong


def test_an_app_says_at_once_which_path_is_wrong() -> None:
    with pytest.raises(InvalidConfig, match="is not the path of a field"):
        sagakit.web.app(no_client(), redact=["card number"])
