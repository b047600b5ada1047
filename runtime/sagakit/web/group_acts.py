"""Acts on a group of stuck sagas: a preview of what will run, then a job, and the page of that job."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sagakit.client.job_start import positions
from sagakit.client.jobs import Jobs
from sagakit.client.refusals import is_taken
from sagakit.engine import InboundKind, Record, to_undo
from sagakit.errors import InvalidInput, NotAllowed
from sagakit.naming import SagaKey
from sagakit.repository import Wanted
from sagakit.repository.filters import All, Comparison, Filter
from sagakit.repository.groups import GroupName, group_of
from sagakit.repository.repository import STUCK
from sagakit.times import moment_of
from sagakit.web.forms import read_form
from sagakit.web.job_work import run_new_job
from sagakit.web.page_acts import VERBS, why_refused
from sagakit.web.problems import Problem
from sagakit.web.rendering import check_form_token, form_token, page
from sagakit.web.visitors import check_may

if TYPE_CHECKING:
    from sagakit.client.client import Client

SHOWN = 100
"""Sagas of a job that its page names."""
JOB_ID = re.compile(r"[0-9a-z-]{1,40}")
GROUP_VERBS: Sequence[InboundKind] = ("retry", "compensate", "terminate")


async def preview_act(request: Request, client: Client) -> Response:
    """Show what an act on a group would do, and ask for the reason."""
    verb, group = _asked(request, request.query_params.get)
    members = await _members(client, group)
    now = await client.now()
    refusals, calls = Counter[str](), Counter[str]()
    for record in members:
        plan = await client.plan_of(record)
        why = why_refused(verb, "", record, plan, now)
        if why:
            refusals[why] += 1
        elif verb == "retry":
            calls.update([group.step] if group.step else [])
        elif verb == "compensate" and plan is not None:
            calls.update(to_undo(plan, record))
    return page(
        request, "group_act", page="Stuck", now=now, verb=verb, meaning=VERBS[verb][1], group=group,
        count=len(members), refusals=refusals.most_common(10), calls=calls.most_common(20),
        takes=len(members) - refusals.total(), token=form_token(request),
    )  # fmt: skip


async def run_act(request: Request, client: Client) -> Response:
    """Give all sagas of a group a verb, as a job, and lead to its page."""
    form = await read_form(request)
    check_form_token(request, form.get("token", ""))
    verb, group = _asked(request, form.get)
    why, by = form.get("why", ""), request.scope["sagakit.visitor"].name
    if not why.strip():
        raise InvalidInput(f"why: say why you {verb} these sagas; their events keep it")
    jobs = Jobs(client.wire, client.names)
    await jobs.check()
    since = await positions(client.wire, client.names)
    members = await _members(client, group)
    if not members:
        raise NotAllowed("no saga is in this group any more: look at the stuck ones again")
    job = await run_new_job(client, verb, members, since, reason=why, by=by)
    return RedirectResponse(f"{request.scope.get('root_path', '')}/jobs/{job.id}", 303)


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
        request, "job", page="Stuck", now=await client.now(), job=job, created=moment_of(job.created),
        verdicts=verdicts.most_common(), items=[(SagaKey.parse(item.key), item) for item in items[:SHOWN]],
        left=len(items) - job.done, refresh=2 if job.ended is None else 0,
    )  # fmt: skip


def _asked(request: Request, get: Callable[[str], str | None]) -> tuple[InboundKind, GroupName]:
    """Return the verb and the group that a request names. Raises Problem for one that the visitor may not give."""
    verb: InboundKind | None = next((one for one in GROUP_VERBS if one == get("verb")), None)
    if verb is None:
        raise Problem(404, "NotFound", f"a group can be given {', '.join(GROUP_VERBS)}")
    check_may(request.scope["sagakit.visitor"], VERBS[verb][0], read_only=request.scope["sagakit.read_only"])
    return verb, GroupName(get("type") or "", get("step") or "", get("error") or "")


async def _members(client: Client, group: GroupName) -> Sequence[Record]:
    of_type = Filter(All((STUCK, Comparison("type", "=", group.type))))
    found = await client.repository.records(Wanted(where=of_type))
    return [record for record in found.records if group_of(record) == group]


def group_query(group: GroupName, verb: InboundKind) -> str:
    """Return the query of the preview of an act on a group."""
    return urlencode({"verb": verb, **group._asdict()})
