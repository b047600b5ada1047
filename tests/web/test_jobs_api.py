"""Verbs for all sagas that fit a filter, over HTTP: the preview, the job, its report, and going on with it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sagakit import Client
from sagakit.client.fleet_view import FleetView
from sagakit.client.job_run import JobRun
from sagakit.engine import Record
from sagakit.errors import NoWorker
from sagakit.web.visitors import Everyone

from tests.client.faces import CLIENTS, Buy, Order
from tests.servers import Server
from tests.web.test_api import get, post
from tests.web.visits import visit

STUCK = "type = Buy and status = stuck"


def order(**given: Any) -> dict[str, Any]:
    """Return the body of a job."""
    return {"verb": "cancel", "where": "type = Buy", "reason": "no stock", **given}


async def begin(http: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
    """Begin a job, with as much time as a request may ask for."""
    return await http.post("/api/jobs", json=body, headers={"Prefer": "wait=60"})


async def some_stuck(client: Client, number: int) -> None:
    for one in range(number):
        await (await client.start(Buy, f"{one}", Order(one, breaks=True))).wait(or_stuck=True)


@pytest.mark.parametrize("face", CLIENTS)
def test_all_that_fit_a_filter_are_previewed_given_a_verb_and_reported(
    face: str, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Buy, "broken", True)

    async def body(http: httpx.AsyncClient, client: Client) -> None:
        await some_stuck(client, 3)
        await client.start(Buy, "other", Order(asks=True), wait="step:reserve")
        seen = await get(http, "/api/jobs/preview", verb="compensate", where=STUCK)
        assert seen["counts"] == [{"type": "Buy", "status": "stuck", "count": 3}]
        assert (seen["sagas"], seen["verdicts"], seen["undone"]) == (3, {"accepted": 3}, {"reserve": 3})
        mixed = await get(http, "/api/jobs/preview", verb="retry", where="type = Buy")
        assert (mixed["sagas"], list(mixed["refusals"].values())) == (4, [1])
        assert "it is running, not stuck" in next(iter(mixed["refusals"]))
        assert (await get(http, "/api/jobs"))["jobs"] == [], "a preview leaves nothing behind"

        Buy.broken = False
        given = order(verb="retry", where=STUCK, reason="the bank is back", max_sagas=2)
        refused = (await begin(http, given)).json()
        assert "max_sagas: 3 sagas fit" in refused["detail"]
        assert (await client.load(Buy, "0")).status == "stuck"
        answer = await begin(http, {**given, "max_sagas": 3})
        job = answer.json()
        assert (answer.status_code, answer.headers["location"]) == (200, f"/api/jobs/{job['job']}")
        assert (job["state"], job["done"], job["by"], job["reason"]) == ("done", 3, "ann", "the bank is back")
        report = await get(http, answer.headers["location"])
        assert report["job"] == job
        assert {one["key"]: one["applied"] for one in report["sagas"]} == {f"Buy.{one}": True for one in range(3)}
        assert (await get(http, answer.headers["location"], page="2"))["sagas"] == []
        assert (await get(http, "/api/jobs"))["jobs"] == [job]
        for one in range(3):
            await (await client.get(Buy, f"{one}")).wait()
        assert (await client.load(Buy, "other")).status == "running"
        assert (await post(http, f"/api/jobs/{job['job']}/resume", 200)) == job

    visit(face, server, namespace, body)


def test_a_job_that_a_request_has_not_finished_goes_on_and_gives_no_saga_the_verb_twice(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        for one in range(3):
            await client.start(Buy, f"{one}", Order(one, asks=True), wait="step:reserve")
        with monkeypatch.context() as patched:
            patched.setattr(JobRun, "run", stopped_at_once)
            job = (await begin(http, order(message_id="m"))).json()
        assert (job["state"], job["done"]) == ("unfinished", 0)
        assert (await client.load(Buy, "0")).status == "running"
        done = await post(http, f"/api/jobs/{job['job']}/resume", 200, wait=60, by="ann")
        assert (done["state"], done["verdicts"], done["job"]) == ("done", {"accepted": 3}, job["job"])
        for one in range(3):
            await (await client.get(Buy, f"{one}")).wait()
        where = "type = Buy and status in (failed, completed)"
        with monkeypatch.context() as patched:
            patched.setattr(JobRun, "run", noted)
            again = (await begin(http, order(message_id="m", where=where))).json()
        assert again["verdicts"] == {"accepted": 3}, "the same message, so the verdict that it had"
        assert positions == [None], "the records are read at once: nothing is waited for"

    run, positions = JobRun.run, list[Any]()

    async def noted(one: JobRun, since: Any = None) -> bool:
        positions.append(since)
        return await run(one, since)

    async def stopped_at_once(one: JobRun, since: Any = None) -> bool:
        one.stop()
        return await run(one, since)

    visit("asyncio", server, namespace, body)


def test_a_saga_that_no_worker_can_run_is_sent_nothing(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(fleet: FleetView, record: Record) -> None:
        raise NoWorker("Buy.one", 1, (2,), "start one")

    async def body(http: httpx.AsyncClient, client: Client) -> None:
        await client.start(Buy, "one", Order(asks=True), wait="step:reserve")
        monkeypatch.setattr(FleetView, "check_runs", nobody)
        job = (await begin(http, order())).json()
        assert (job["state"], job["verdicts"]) == ("done", {"no worker": 1})
        assert (await client.load(Buy, "one")).status == "running"

    visit("asyncio", server, namespace, body)


def test_what_a_job_cannot_be_is_refused(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        for wrong, status, told in (
            ({"verb": "signal"}, 422, "verb: write retry"),
            ({"where": " "}, 422, "write * if you mean that"),
            ({"where": "colour = red"}, 422, "colour"),
            ({"reason": " "}, 422, "reason: say why"),
            ({"message_id": "a\nb"}, 422, "message"),
            ({"verb": "terminate"}, 403, "takes the role admin"),
            ({}, 409, "no saga fits"),
        ):
            answer = await begin(http, order(**wrong))
            assert (answer.status_code, told in answer.text) == (status, True), answer.text
        await get(http, "/api/jobs/preview", 422, verb="signal", where="*")
        await get(http, "/api/jobs/20260101-000000-none", 404)
        await post(http, "/api/jobs/20260101-000000-none/resume", 404)
        await get(http, "/api/jobs/%3E", 404)

    visit("asyncio", server, namespace, body, authentication=Everyone("operator", name="ann"))
