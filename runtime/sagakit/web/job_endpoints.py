"""The endpoints of jobs: a verb for all sagas that fit a filter, with a preview before and a report after it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sagakit.client.job_lines import job_line, verdict_line
from sagakit.client.job_plan import plan_of_job
from sagakit.client.job_start import positions
from sagakit.client.jobs import Job, Jobs
from sagakit.client.json_shapes import CountLine
from sagakit.engine import Inbound, InboundKind
from sagakit.errors import InvalidInput, NotAllowed
from sagakit.messages.validation import checked_message
from sagakit.repository.listing import Records
from sagakit.web.acting import check_reason, name_of
from sagakit.web.api_shapes import JobList, JobReport, PlanAnswer
from sagakit.web.bodies import JobBody, ResumeBody, json_body
from sagakit.web.job_page import job_id_of
from sagakit.web.job_work import AT_ONCE, expected_of, go_on, run_new_job
from sagakit.web.looking import applied, as_json, number_of, wait_of, wanted_where_text
from sagakit.web.page_acts import VERBS
from sagakit.web.visitors import check_may

if TYPE_CHECKING:
    from sagakit.client.client import Client

MANY = 1_000_000
"""More pages than a job has."""
REASONS = 20
"""Reasons of refusals that a preview tells, the most frequent first."""


async def preview_job(request: Request, client: Client) -> Response:
    """Show what a verb would do to all sagas that fit a filter. Nothing is sent."""
    verb = _verb(request.query_params.get("verb", ""))
    found = await _chosen(request, client, request.query_params.get("where", ""))
    expected = await expected_of(client, found.records, verb)
    plan = await plan_of_job(verb, found.records, expected, client.plan_of)
    refusals = Counter(answer.refusal.partition(": ")[2] for answer in expected if answer.refusal)
    return as_json(
        PlanAnswer(
            verb=verb,
            sagas=len(found.records),
            counts=[CountLine(type=name, status=status, count=count) for (name, status), count in plan.sagas.items()],
            verdicts=plan.verdicts,
            refusals=dict(refusals.most_common(REASONS)),
            undone=plan.undone,
            unreadable=len(found.unreadable),
        )
    )


async def start_job(request: Request, client: Client) -> Response:
    """Give all sagas that fit a filter a verb, as a job. `Prefer: wait=30` runs it for so long at the most."""
    body = await json_body(request, JobBody)
    verb, visitor = _verb(body.verb), request.scope["sagakit.visitor"]
    check_may(visitor, VERBS[verb][0], read_only=request.scope["sagakit.read_only"])
    check_reason(body.reason, verb, "these sagas; their events keep it")
    by = name_of(visitor, body.by)
    checked_message(Inbound(id=body.message_id or "job", kind=verb, reason=body.reason, by=by))
    await Jobs(client.wire, client.names).check()
    since = await positions(client.wire, client.names)
    records = (await _chosen(request, client, body.where)).records
    if not records:
        raise NotAllowed("where: no saga fits, so there is nothing to do")
    if body.max_sagas is not None and len(records) > body.max_sagas:
        raise NotAllowed(f"max_sagas: {len(records):,} sagas fit: look at the preview again, then allow as many")
    wait = wait_of(request)
    job = await run_new_job(
        client,
        verb,
        records,
        since,
        reason=body.reason,
        by=by,
        message_id=body.message_id or "",
        seconds=wait or AT_ONCE,
    )
    return _answer(request, job, wait)


async def resume_job(request: Request, client: Client) -> Response:
    """Go on with a job that is not done. `Prefer: wait=30` runs it for so long at the most."""
    id, wait = job_id_of(request.path_params["job"]), wait_of(request)
    visitor, read_only = request.scope["sagakit.visitor"], request.scope["sagakit.read_only"]
    by = name_of(visitor, (await json_body(request, ResumeBody)).by)
    job = await go_on(client, id, visitor, by=by, read_only=read_only, seconds=wait or AT_ONCE)
    return _answer(request, job, wait)


async def list_jobs(request: Request, client: Client) -> Response:
    """List the jobs of the last 30 days, newest first."""
    found = await Jobs(client.wire, client.names).list()
    return as_json(JobList(jobs=[job_line(job, holder) for job, holder in found]))


async def report_job(request: Request, client: Client) -> Response:
    """Return one job with a page of its sagas, and the verdict on each."""
    jobs, id = Jobs(client.wire, client.names), job_id_of(request.path_params["job"])
    found = await jobs.read(id)
    page = number_of(request, "page", 1, MANY)
    items = found.pages[page - 1].sagas if page <= len(found.pages) else []
    return as_json(
        JobReport(
            job=job_line(found.job, await jobs.holder(id)),
            pages=len(found.pages),
            sagas=[verdict_line(found.job, item, item.verdict, item.why) for item in items],
        )
    )


def _answer(request: Request, job: Job, wait: int | None) -> Response:
    """Return the answer with a job: 202 while some of its sagas have no verdict."""
    answer = as_json(job_line(job, None), 202 if job.ended is None else 200, **applied(wait))
    answer.headers["Location"] = f"{request.scope.get('root_path', '')}/api/jobs/{job.id}"
    return answer


def _verb(text: str) -> InboundKind:
    for verb in VERBS:
        if verb == text:
            return verb
    raise InvalidInput(f"verb: write {', '.join(VERBS)}")


async def _chosen(request: Request, client: Client, where: str) -> Records:
    if not where.strip():
        raise InvalidInput("where: an empty filter would choose every saga: write * if you mean that")
    return await client.repository.records(await wanted_where_text(request, client, where))
