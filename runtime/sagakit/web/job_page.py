"""The page of a job: what became of a verb for many sagas."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sagakit.client.jobs import Jobs
from sagakit.client.refusals import is_taken
from sagakit.naming import SagaKey
from sagakit.times import moment_of
from sagakit.web.problems import Problem
from sagakit.web.rendering import page

if TYPE_CHECKING:
    from sagakit.client.client import Client

SHOWN = 100
"""Sagas of a job that its page names."""
JOB_ID = re.compile(r"[0-9a-z-]{1,40}")


def job_id_of(text: str) -> str:
    """Return the id of a job that a path has. Raises Problem."""
    if not JOB_ID.fullmatch(text):  # it becomes a part of a subject
        raise Problem(404, "UnknownJob", f"{text[:80]!r} is not the id of a job")
    return text


async def show_job(request: Request, client: Client) -> Response:
    """Show a job: who gave which verb to how many sagas, why, and what became of it."""
    found = await Jobs(client.wire, client.names).read(job_id_of(request.path_params["id"]))
    job = found.job
    items = sorted(found.items(), key=lambda item: is_taken(job.verb, item.verdict))
    verdicts = Counter(item.verdict or "no verdict yet" for item in items)
    return page(
        request, "job", page="", now=await client.now(), job=job, created=moment_of(job.created),
        verdicts=verdicts.most_common(), items=[(SagaKey.parse(item.key), item) for item in items[:SHOWN]],
        left=len(items) - job.done, refresh=2 if job.ended is None else 0,
    )  # fmt: skip
