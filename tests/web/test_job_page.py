"""The page of a job that was cut off: who may go on with it, and what its sagas keep."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sagakit.web
from sagakit import Client
from sagakit.client.job_run import JobRun
from sagakit.client.jobs import Job
from sagakit.errors import NotAllowed
from sagakit.web.job_work import rank_of
from sagakit.web.visitors import Everyone

from tests.client.faces import CLIENTS, Buy, Order
from tests.servers import Server
from tests.web.test_jobs_api import begin, order
from tests.web.test_pages import read
from tests.web.visits import visit, visiting

run = JobRun.run


async def stopped_at_once(one: JobRun, since: Any = None) -> bool:
    one.stop()
    return await run(one, since)


@pytest.mark.parametrize("face", CLIENTS)
def test_an_operator_goes_on_with_a_job_that_was_cut_off(
    face: str, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(ann: httpx.AsyncClient, client: Client) -> None:
        await client.start(Buy, "one", Order(asks=True), wait="step:reserve")
        with monkeypatch.context() as patched:
            patched.setattr(JobRun, "run", stopped_at_once)
            place = f"/jobs/{(await begin(ann, order())).json()['job']}"
        for who, read_only in ((Everyone("viewer"), False), (Everyone("admin"), True)):
            app = sagakit.web.app(client, authentication=who, read_only=read_only)
            async with visiting(app) as http:
                seen = await read(http, place)
                assert seen.buttons == {"Go on": False}
                assert (await http.post(f"{place}/resume", data={"token": seen.fields["token"]})).status_code == 403
        bob = Everyone("operator", name="bob")
        async with visiting(sagakit.web.app(client, authentication=bob, read_only=False)) as http:
            page = await read(http, place)
            assert page.buttons == {"Go on": True}
            assert f"{place}/resume" in page.actions
            assert (await http.post(f"{place}/resume", data={"token": "x"})).status_code == 403
            assert (await client.load(Buy, "one")).status == "running", "nobody was allowed to go on so far"
            answer = await http.post(f"{place}/resume", data={"token": page.fields["token"]})
            assert (answer.status_code, answer.headers["location"]) == (303, place)
            assert (await read(http, place)).buttons == {}
        await (await client.get(Buy, "one")).wait()
        while "no stock" not in (audit := await read(ann, "/audit")).text:
            pass  # the event is published after the record
        assert ("ann" in audit.text, "bob" in audit.text) == (True, False), "ann has given the verb"

    visit(face, server, namespace, body)


def cut_off(verb: Any) -> Job:
    return Job(id="1", verb=verb, created=0.0, sagas=1, pages=1)


def test_going_on_takes_the_role_of_the_verb() -> None:
    assert (rank_of(cut_off("retry")), rank_of(cut_off("terminate"))) == ("operator", "admin")
    with pytest.raises(NotAllowed, match="sagakit delete --resume 1"):
        rank_of(cut_off("delete"))
