"""The HTTP API over a real server: starts, looks, acts, and what each error is as an answer."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest
from openapi_spec_validator import validate
from sagakit import Client
from sagakit.naming import encode_id

from tests.client.faces import CLIENTS, Buy
from tests.servers import Server
from tests.web.visits import visit

HOSTILE = [
    "a/b.c",
    "../..",
    "<script>alert(1)</script>",
    "\u202egnp.exe",
    "a=2Eb",
    "100% & ?x=#y",
    "a\nb\tc\x00",
    "雪" * 40,
]


def url(id: str, rest: str = "", type: str = "Buy") -> str:
    return f"/api/sagas/{type}/{encode_id(id)}{rest}"


async def post(http: httpx.AsyncClient, path: str, expected: int, *, wait: int = 0, **body: Any) -> Any:
    answer = await http.post(path, json=body, headers={"Prefer": f"wait={wait}"} if wait else {})
    assert answer.status_code == expected, answer.text
    return answer.json()


async def get(http: httpx.AsyncClient, path: str, expected: int = 200, **query: str) -> Any:
    answer = await http.get(path, params=query)
    assert answer.status_code == expected, answer.text
    return answer.json()


@pytest.mark.parametrize("face", CLIENTS)
def test_a_saga_is_started_watched_signalled_and_read(face: str, server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        answer = await http.post("/api/sagas/Buy", json={"id": "one", "input": {"number": 3, "asks": True}})
        assert (answer.status_code, answer.headers["location"]) == (202, "/api/sagas/Buy/one")
        assert answer.json() == {"key": "Buy.one", "type": "Buy", "id": "one"}
        answer = await http.get(url("one", "/outcome"), headers={"Prefer": "respond-async, wait=1"})
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=1")
        assert answer.json() == {"key": "Buy.one", "status": "running"}
        assert (await get(http, "/api/sagas", where="step = approved"))["items"][0]["at"] == ["approved"]

        given = await post(http, url("one", "/signals/approved"), 200, payload="ann", message_id="m")
        assert given["verdict"] == "accepted"
        answer = await http.get(url("one", "/outcome"), headers={"Prefer": "wait=60"})
        assert (answer.status_code, answer.json()["output"]) == (200, "3 ann")
        again = await post(http, "/api/sagas/Buy", 200, wait=60, id="one", input={"number": 3, "asks": True})
        assert again["status"] == "completed"

        found = await get(http, url("one"))
        assert [step["name"] for step in found["steps"]] == ["reserve", "approved", "charge"]
        assert (await get(http, url("one", "/record")))["saga_id"] == "one"
        events = await get(http, url("one", "/history"))
        assert [event["sequence"] for event in events["events"]] == list(range(1, events["total"] + 1))
        assert events == await get(http, url("one", "/history"), all="true")
        counted = await get(http, "/api/count", ended="true")
        assert counted["counts"] == [{"type": "Buy", "status": "completed", "count": 1}]

    visit(face, server, namespace, body)


def test_an_operator_mends_and_each_act_is_audited(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Buy, "broken", True)

    async def body(http: httpx.AsyncClient, client: Client) -> None:
        for name in ("retried", "given", "undone", "ended", "cancelled"):
            await post(http, "/api/sagas/Buy", 202, wait=60, id=name, input={"breaks": True})
        groups = (await get(http, "/api/groups"))["groups"]
        assert [(group["step"], group["count"], group["error"]) for group in groups] == [
            ("charge", 5, "RuntimeError('the bank is down')")
        ]
        run = (await get(http, url("retried")))["run"]
        assert (await post(http, url("retried", "/retry"), 409, reason="x", run="other"))["code"] == "NotAllowed"
        Buy.broken = False
        await post(http, url("retried", "/retry"), 200, reason="the bank is back", run=run, by="bob")
        await post(
            http, url("given", "/complete-step"), 200, step="charge", result="by hand", reason="seen at the bank"
        )
        await post(http, url("undone", "/compensate"), 200, reason="not wanted any more")
        await post(http, url("ended", "/terminate"), 200, reason="a trial")
        await post(http, url("cancelled", "/cancel"), 200, reason="they called", by="eve")
        for name, status in (
            ("retried", "completed"),
            ("given", "completed"),
            ("undone", "failed"),
            ("ended", "failed"),
        ):
            answer = await http.get(url(name, "/outcome"), headers={"Prefer": "wait=60"})
            assert answer.json()["status"] == status, name
        acts = [
            (event["event"], event["data"]["by"], event["data"]["reason"])
            for name in ("retried", "ended", "cancelled")
            for event in (await get(http, url(name, "/history")))["events"]
            if event["event"].startswith("operator")
        ]
        assert acts == [
            ("operator.retry", "bob", "the bank is back"),
            ("operator.terminate", "ann", "a trial"),
            ("operator.cancel", "eve", "they called"),
        ]

    visit("asyncio", server, namespace, body)


def test_each_error_is_a_problem_with_its_name_and_the_place(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        async def told(expected: int, code: str, answer: httpx.Response) -> Any:
            assert answer.headers["content-type"] == "application/problem+json"
            found = answer.json()
            assert (answer.status_code, found["status"], found["code"]) == (expected, expected, code), found
            return found

        await post(http, "/api/sagas/Buy", 200, wait=60, id="one", input={"number": 1})
        found = await told(
            422, "InvalidInput", await http.post("/api/sagas/Buy", json={"input": {"number": "x", "asks": 1}})
        )
        assert [fault["path"] for fault in found["faults"]] == ["$.input.number", "$.input.asks"]
        other = {"id": "one", "input": {"number": 2}}
        await told(409, "AlreadyStarted", await http.post("/api/sagas/Buy", json=other, headers={"Prefer": "wait=9"}))
        await told(404, "UnknownType", await http.post("/api/sagas/Bay", json=other))
        await told(404, "UnknownSaga", await http.get(url("two")))
        await told(404, "UnknownSaga", await http.post(url("two", "/retry"), json={"reason": "x"}))
        await told(409, "NotAllowed", await http.post(url("one", "/retry"), json={"reason": "x"}))
        await told(409, "TooLate", await http.post(url("one", "/cancel"), json={"reason": "x"}))
        await told(422, "InvalidInput", await http.post(url("one", "/retry"), json={"reason": " "}))
        found = await told(422, "InvalidInput", await http.post(url("one", "/retry"), json={"reason": 1}))
        assert found["faults"] == [{"path": "$.reason", "reason": "Expected `str`, got `int`"}]
        await told(422, "InvalidInput", await http.post(url("one", "/retry"), json={"reason": "x", "wy": "x"}))
        found = await told(422, "InvalidFilter", await http.get("/api/sagas", params={"where": "status = stack"}))
        assert found["column"] == 10
        await told(422, "InvalidInput", await http.get("/api/sagas", params={"cursor": "no"}))
        for limit in ("0", "1001", "x", "9" * 400):
            await told(422, "InvalidInput", await http.get("/api/sagas", params={"limit": limit}))
        await told(422, "InvalidId", await http.get(f"/api/sagas/Buy/{'x' * 513}"))
        await told(415, "UnsupportedMediaType", await http.post(url("one", "/retry"), content=b"{}"))
        await told(404, "NotFound", await http.get("/api/none"))
        await told(405, "MethodNotAllowed", await http.put("/api/sagas/Buy", json={}))

    visit("asyncio", server, namespace, body)


def test_ids_of_any_characters_have_addresses_of_their_own(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        for id in HOSTILE:
            answer = await http.post(
                "/api/sagas/Buy", json={"id": id, "input": {"note": id}}, headers={"Prefer": "wait=9"}
            )
            assert answer.status_code == 200, answer.text
            found = await get(http, answer.headers["location"])
            assert (found["id"], found["input"]["note"]) == (id, id)
        page = await get(http, "/api/sagas", ended="true")
        assert {item["id"] for item in page["items"]} == set(HOSTILE)

    visit("asyncio", server, namespace, body)


def test_pages_are_turned_by_their_cursors(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        for number in range(5):
            await post(http, "/api/sagas/Buy", 200, wait=9, id=f"{number}", input={"number": number})
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await get(http, "/api/sagas", ended="true", limit="2", cursor=cursor)
            assert len(page["items"]) <= 2
            seen += [item["id"] for item in page["items"]]
            cursor = page["cursor"]
        assert seen == ["4", "3", "2", "1", "0"]

    visit("asyncio", server, namespace, body)


def test_the_description_is_openapi_and_has_the_schemas_of_the_types(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        found = await get(http, "/openapi.json")
        validate(found)
        paths = found["paths"]
        start = paths["/api/sagas/Buy"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert start["properties"]["input"] == {"$ref": "#/components/schemas/Buy.input"}
        schemas = found["components"]["schemas"]
        assert schemas["Buy.input"] == {"$ref": "#/components/schemas/Buy.input.Order"}
        assert set(schemas["Buy.input.Order"]["properties"]) == {"number", "asks", "refused", "breaks", "note"}
        assert "/api/sagas/Buy/{id}/signals/approved" in paths
        assert await client.schemas() == {"Buy": msgspec.json.decode(msgspec.json.encode(Buy.schema()))}

    visit("asyncio", server, namespace, body)
