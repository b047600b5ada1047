"""Signals by hand: the forms on the page of a saga, the same by the HTTP API, who may, and what is refused."""

from __future__ import annotations

import html
from typing import Any

import httpx
import msgspec
import pytest
import sagakit.web
from sagakit import Client, Context, Saga, signal, step
from sagakit.definition import compiled
from sagakit.engine import create
from sagakit.web.acting import payload_schema
from sagakit.web.problems import Problem
from sagakit.web.visitors import Everyone, Tokens, Visitor

from tests.client.faces import CLIENTS, Buy, Order
from tests.servers import Server
from tests.web.test_api import get, post
from tests.web.test_api import url as api
from tests.web.test_pages import Reader, read, url
from tests.web.visits import visit, visiting


class Decision(msgspec.Struct, frozen=True):
    """The decision of a person."""

    granted: bool
    limit: int = 100
    note: str | None = None


class Lend(Saga[int]):
    """Wait for a decision, then for a go, then pay; somebody may stop it before."""

    decided = signal(Decision)
    go = signal(type(None), after=[decided])

    @step(go, compensate=None)
    async def pay(self, amount: int, gone: None, ctx: Context) -> int:
        return min(amount, ctx.result(Lend.decided).limit)


LEND = "/sagas/Lend/one"


async def form_of(http: httpx.AsyncClient, path: str, **values: str) -> dict[str, str]:
    """Return the fields that a form needs, filled in."""
    page = await read(http, path)
    return {"token": page.fields["token"], "run": page.fields["run"], **values}


async def acts(http: httpx.AsyncClient, path: str) -> list[Any]:
    events = (await get(http, f"/api{path}/history"))["events"]
    return [event["data"] for event in events if event["event"] == "operator.signal"]


@pytest.mark.parametrize("face", CLIENTS)
def test_an_operator_approves_an_order_by_hand_and_it_is_audited(face: str, server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        handle = await client.start(Buy, "one", Order(4, asks=True), wait="step:reserve")
        while "the saga waits for it" not in (page := await read(http, url("one"))).text:
            pass  # the signal is awaited with the write after the step's
        place = url("one", "/signals/approved")
        assert place in page.actions
        assert "#signals" in page.links
        assert page.buttons["signal approved"]
        sent = await form_of(http, url("one"), reason="they called", **{"field.payload": 'by "ann"'})
        assert (await http.post(place, data={**sent, "token": "x"})).status_code == 403
        assert (await http.post(place, data={**sent, "run": "other"})).status_code == 409
        answer = await http.post(place, data=sent)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{url('one')}?done=signal")
        assert await handle.result() == '4 by "ann"'
        assert [(one["by"], one["reason"], one["step"]) for one in await acts(http, url("one"))] == [
            ("ann", "they called", "approved")
        ]
        after = await read(http, f"{url('one')}?done=signal")
        assert "signal: it is durable" in after.text
        assert "signal approved" in after.text, "the table of what operators did"
        assert after.buttons == {}
        while "they called" not in (audit := await read(http, "/audit")).text:
            pass  # the event is published after the record
        assert url("one") in audit.links
        late = await http.post(place, data=sent)
        assert (late.status_code, "the saga is over" in late.text) == (409, True)

    visit(face, server, namespace, body)


def test_the_form_has_the_fields_of_the_payload_and_says_what_does_not_fit(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        await client.start(Lend, "one", 500, wait="started")
        place, page = f"{LEND}/signals/decided", await read(http, LEND)
        assert page.buttons["signal decided"]
        assert page.buttons["signal go"]
        assert "keeps it until then" in page.text, "the one that is not reached yet"
        assert page.fields["field.limit"] == "100", "the default of the schema"
        alone = await read(http, place)
        assert (alone.fields["field.limit"], alone.buttons) == ("100", {"signal decided": True})

        evil = "<script>alert(1)</script>"
        sent = await form_of(
            http, LEND, reason=evil, **{"field.limit": "many", "field.note": evil, "field.granted": "true"}
        )
        for wrong, told in (
            ({}, "limit: write a number, such as 7 or 1.5, not 'many'"),
            ({"field.limit": "1.5"}, "limit: 1.5 is not of type 'integer'"),
            ({"reason": " "}, "reason: say why you signal this saga; its events keep it"),
        ):
            answer = await http.post(place, data={**sent, **wrong})
            assert answer.status_code == 422
            assert told in html.unescape(answer.text)
            assert evil not in answer.text
            assert Reader(answer.text).fields["field.note"] == evil, "what was filled in is kept"
        assert await acts(http, LEND) == []
        assert (await http.post(place, data={**sent, "field.limit": "7"})).status_code == 303
        assert evil not in (await http.get(LEND)).text
        again = await http.post(place, data={**sent, "field.limit": "7"})
        assert (again.status_code, "decided has come already, and is taken once" in again.text) == (409, True)
        page = await read(http, LEND)
        assert page.buttons["signal decided"] is False
        assert "decided has come already" in page.text

        assert "field.payload" not in (await read(http, f"{LEND}/signals/go")).fields, "null needs no field"
        go = await form_of(http, LEND, reason="now")
        assert (await http.post(f"{LEND}/signals/go", data=go)).status_code == 303
        assert await (await client.get(Lend, "one")).wait() == "completed"
        over = await read(http, f"{LEND}/signals/go")
        assert (over.buttons, "the saga is over" in over.text) == ({}, True)

    visit("asyncio", server, namespace, body, Lend())


def test_a_signal_that_the_saga_does_not_know_is_refused_by_the_api_and_on_a_page(
    server: Server, namespace: str
) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        await client.start(Lend, "one", 500, wait="started")
        found = await post(http, api("one", "/signals/decide", "Lend"), 404, payload=None)
        assert (found["code"], found["detail"]) == (
            "UnknownSignal", "Lend has no signal 'decide'; did you mean 'decided'?",
        )  # fmt: skip
        found = await post(http, api("one", "/signals/x<b>", "Lend"), 404, payload=None)
        assert found["detail"] == "Lend has no signal 'x<b>'; its signals are decided, go"
        page = await read(http, f"{LEND}/signals/x<b>", 404)
        assert "has no signal 'x<b>'" in page.text
        sent = await form_of(http, LEND, reason="x")
        assert (await http.post(f"{LEND}/signals/pay", data=sent)).status_code == 404
        await read(http, "/sagas/Lend/two/signals/go", 404)

    visit("asyncio", server, namespace, body, Lend())


def test_the_api_audits_a_signal_that_says_why_and_programs_need_not(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        for id in ("program", "person", "named"):
            await client.start(Lend, id, 500, wait="started")
        place, decision = "/signals/decided", {"granted": True}
        run = (await get(http, api("person", type="Lend")))["run"]
        wrong = await post(http, api("person", place, "Lend"), 409, payload=decision, reason="x", run="other")
        assert "another saga has this id now" in wrong["detail"]
        await post(http, api("program", place, "Lend"), 200, payload=decision)
        body = {"payload": decision, "reason": "they called", "run": run, "message_id": "m"}
        for _ in range(2):  # the second one is the same message
            assert (await post(http, api("person", place, "Lend"), 200, **body))["verdict"] == "accepted"
        await post(http, api("named", place, "Lend"), 200, payload=decision, by="bob")
        told = {id: await acts(http, f"/sagas/Lend/{id}") for id in ("program", "person", "named")}
        assert {id: [(one["by"], one["reason"]) for one in found] for id, found in told.items()} == {
            "program": [], "person": [("ann", "they called")], "named": [("bob", "")],
        }  # fmt: skip

    visit("asyncio", server, namespace, body, Lend())


def test_who_may_not_signal_is_told_why(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        await client.start(Buy, "one", Order(asks=True), wait="started")
        place = url("one", "/signals/approved")
        for options, why in (
            ({"read_only": True, "authentication": Everyone("admin", name="ann")}, "this console only looks"),
            ({"read_only": False, "authentication": Everyone("viewer")}, "this takes the role operator"),
        ):
            async with visiting(sagakit.web.app(client, secret="s", **options)) as looker:  # type: ignore[arg-type]
                for path in (url("one"), place):
                    page = await read(looker, path)
                    assert why in page.text
                    assert not page.buttons.get("signal approved")
                    assert place not in page.actions
                sent = await form_of(looker, url("one"), reason="x", **{"field.payload": "ann"})
                answer = await looker.post(place, data=sent)
                assert (answer.status_code, why in answer.text) == (403, True)
                assert (await looker.post(api("one", "/signals/approved"), json={"payload": "ann"})).status_code == 403
        known = Tokens({"t" * 30: Visitor("eve", "operator")})
        async with visiting(sagakit.web.app(client, read_only=False, authentication=known)) as eve:
            eve.headers["Authorization"] = f"Bearer {'t' * 30}"
            lie = {"payload": "ann", "reason": "x", "by": "ann"}
            answer = await eve.post(api("one", "/signals/approved"), json=lie)
            assert (answer.status_code, "acts are audited under that name" in answer.text) == (422, True)
        assert await acts(http, url("one")) == []

    visit("asyncio", server, namespace, body)


def test_a_payload_of_an_older_version_is_judged_by_its_owner() -> None:
    old = create(compiled(Lend).plan, saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=1.0)
    newer = {"Lend": {"saga": "Lend", "version": 2, "signals": {}}}
    assert payload_schema({"Lend": Lend.schema()}, old, "go") == Lend.schema()["signals"]["go"]
    assert payload_schema(newer, old, "go") is None
    assert payload_schema({}, old, "go") is None
    with pytest.raises(Problem, match="Lend has no signal 'gone'"):
        payload_schema({"Lend": Lend.schema()}, old, "gone")
