"""Acts on a group of stuck sagas: a preview, a reason, a job, and the page of the job."""

from __future__ import annotations

import httpx
import pytest
from sagakit import Client
from sagakit.client.job_run import JobRun
from sagakit.errors import Unavailable
from sagakit.web.visitors import Everyone

from tests.client.faces import CLIENTS, Buy, Order
from tests.servers import Server
from tests.web.test_pages import read, url
from tests.web.visits import visit


async def _loses_the_server(run: JobRun, since: object) -> None:
    raise Unavailable("no answer")


@pytest.mark.parametrize("face", CLIENTS)
def test_a_group_is_retried_with_a_reason_after_a_preview(
    face: str, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Buy, "broken", True)

    async def body(http: httpx.AsyncClient, client: Client) -> None:
        for number in range(3):
            await (await client.start(Buy, f"{number}", Order(number, breaks=True))).wait(or_stuck=True)
        await client.start(Buy, "other", Order(asks=True), wait="started")
        stuck = await read(http, "/stuck")
        links = {link.partition("verb=")[2].partition("&")[0]: link for link in stuck.links if "verb=" in link}
        assert set(links) == {"retry", "compensate", "terminate"}
        undo = await read(http, links["compensate"])
        assert "undone: reserve in 3 sagas" in undo.text
        preview = await read(http, links["retry"])
        assert "called again: charge in 3 sagas" in preview.text

        Buy.broken = False
        form = dict(preview.fields)
        assert (await http.post("/stuck/act", data={**form, "reason": " "})).status_code == 422
        assert (await http.post("/stuck/act", data={**form, "reason": "x", "token": "x"})).status_code == 403
        assert (await http.post("/stuck/act", data={**form, "reason": "x", "error": "another"})).status_code == 409
        with monkeypatch.context() as patched:
            patched.setattr(JobRun, "run", _loses_the_server)
            assert (await http.post("/stuck/act", data={**form, "reason": "x"})).status_code == 503
        answer = await http.post("/stuck/act", data={**form, "reason": "the bank is back"})
        assert answer.status_code == 303
        job = await read(http, answer.headers["location"])
        assert "by ann" in job.text
        assert "the bank is back" in job.text
        assert "no verdict yet" not in job.text
        for other in ("*", "%3E", f"{answer.headers['location'].rpartition('/')[2]}.0"):
            await read(http, f"/jobs/{other}", 404)
        for number in range(3):
            assert url(f"{number}") in job.links
            await (await client.get(Buy, f"{number}")).wait()
        assert "No saga is stuck" in (await read(http, "/stuck")).text
        assert (await client.load(Buy, "other")).status == "running"

    visit(face, server, namespace, body)


def test_what_a_group_cannot_be_given_is_refused(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        for query, status in (("verb=signal", 404), ("verb=terminate", 403), ("verb=retry&type=Buy", 200)):
            await read(http, f"/stuck/act?{query}", status)
        await read(http, "/jobs/20260101-000000-none", 404)

    visit("asyncio", server, namespace, body, authentication=Everyone("operator", name="ann"))
