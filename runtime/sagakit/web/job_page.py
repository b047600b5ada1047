"""The pages of jobs: all of them; of one, what became of a verb for many sagas, and a button to go on if cut off."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sagakit.client.job_lines import job_line
from sagakit.client.jobs import Job, Jobs
from sagakit.client.refusals import is_taken
from sagakit.errors import NotAllowed
from sagakit.naming import SagaKey
from sagakit.times import moment_of
from sagakit.web.forms import read_form
from sagakit.web.job_work import AT_ONCE, go_on, rank_of
from sagakit.web.page_acts import why_not_here
from sagakit.web.problems import Problem
from sagakit.web.rendering import LISTED, check_form_token, form_token, page

if TYPE_CHECKING:
    from sagakit.client.client import Client

SHOWN = 100
"""Sagas of a job that its page names, and jobs that the list has."""
MEANS: Mapping[str, str] = {
    "accepted": "the verb has its effect",
    "waiting": "it takes effect once what is under way or in doubt has ended",
    "already": "the same was asked before",
    "too late": "the saga is past the pivot",
    "ended": "the saga is over",
}
"""The meanings of verdicts, where they have no reason of their own for each saga or are frequent."""
JOB_ID = re.compile(r"[0-9a-z-]{1,40}")


def job_id_of(text: str) -> str:
    """Return the id of a job that a path has. Raises Problem."""
    if not JOB_ID.fullmatch(text):  # it becomes a part of a subject
        raise Problem(404, "UnknownJob", f"{text[:80]!r} is not the id of a job")
    return text


async def show_jobs(request: Request, client: Client) -> Response:
    """Show the jobs of the last 30 days, newest first."""
    found = await Jobs(client.wire, client.names).list()
    jobs = [job_line(job, holder) for job, holder in found[:SHOWN]]
    return page(
        request, "jobs", page="Jobs", now=await client.now(), refresh=LISTED, jobs=jobs, more=len(found) - len(jobs)
    )


async def show_job(request: Request, client: Client) -> Response:
    """Show a job: who gave which verb to how many sagas, why, and what became of it."""
    jobs = Jobs(client.wire, client.names)
    found = await jobs.read(job_id_of(request.path_params["id"]))
    job = found.job
    items = sorted(found.items(), key=lambda item: is_taken(job.verb, item.verdict))
    verdicts = Counter(item.verdict or "no verdict yet" for item in items)
    return page(
        request, "job", page="Jobs", now=await client.now(), job=job, created=moment_of(job.created),
        ended=moment_of(job.ended), means=MEANS,
        verdicts=verdicts.most_common(), items=[(SagaKey.parse(item.key), item) for item in items[:SHOWN]],
        left=len(items) - job.done, refresh=2 if job.ended is None else 0, why_not=_why_not(request, job),
        holder=None if job.ended else await jobs.holder(job.id), token=form_token(request),
    )  # fmt: skip


def _why_not(request: Request, job: Job) -> str:
    """Return why the visitor may not go on with a job; empty if they may."""
    try:
        return why_not_here(request, rank_of(job))
    except NotAllowed as error:
        return str(error)


async def take_resume(request: Request, client: Client) -> Response:
    """Go on with a job that was cut off, for some seconds, and lead back to its page."""
    id, form = job_id_of(request.path_params["id"]), await read_form(request)
    check_form_token(request, form.get("token", ""))
    visitor, read_only = request.scope["sagakit.visitor"], request.scope["sagakit.read_only"]
    await go_on(client, id, visitor, by=visitor.name, read_only=read_only, seconds=AT_ONCE)
    return RedirectResponse(f"{request.scope.get('root_path', '')}/jobs/{id}", 303)
