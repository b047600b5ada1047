"""Acts on many sagas at once: a preview of what will run, with the field for the reason, then a job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sagakit.client.job_plan import UNDOING, plan_of_job
from sagakit.client.job_start import positions
from sagakit.client.jobs import Jobs
from sagakit.client.trials import UNKNOWN_HERE, Answer
from sagakit.engine import InboundKind, Record
from sagakit.errors import InvalidInput, NotAllowed
from sagakit.naming import SagaKey
from sagakit.repository.groups import group_of
from sagakit.web.acting import check_reason
from sagakit.web.forms import read_form
from sagakit.web.job_work import expected_of, run_new_job
from sagakit.web.page_acts import VERBS
from sagakit.web.problems import Problem
from sagakit.web.rendering import check_form_token, form_token, page
from sagakit.web.visitors import check_may

if TYPE_CHECKING:
    from sagakit.client.client import Client

Field = Callable[[str], str | None]
"""Returns a field of a query or a form; None if it is not there."""
Found = Awaitable[Sequence[Record]]


class Selection(NamedTuple):
    """The way in which a page chooses sagas. `fields` returns what names them in a query or a form."""

    page: str
    place: str
    verbs: Sequence[InboundKind]
    fields: Callable[[Field], Mapping[str, str]]
    find: Callable[[Request, Client, Mapping[str, str]], Found]


async def preview(request: Request, client: Client, selection: Selection) -> Response:
    """Show what a verb would do to the sagas that a query names, and ask for the reason."""
    get = request.query_params.get
    verb, fields = _allowed(request, selection, get), selection.fields(get)
    records = await selection.find(request, client, fields)
    expected = await expected_of(client, records, verb)
    refusals = Counter(
        _why(record, answer)
        for record, answer in zip(records, expected, strict=True)
        if answer.refusal and answer.verdict != UNKNOWN_HERE
    )
    return page(
        request, "many_act", page=selection.page, place=selection.place, verb=verb, meaning=VERBS[verb][1],
        fields=fields, count=len(records), refusals=refusals.most_common(10), takes=len(records) - refusals.total(),
        calls=(await _calls(client, verb, records, expected)).most_common(20), token=form_token(request),
    )  # fmt: skip


async def run(request: Request, client: Client, selection: Selection) -> Response:
    """Give a verb to the sagas that a form names, as a job, and lead to its page.

    It is given to no more of them than the preview has told, those first that were changed longest ago.
    """
    form = await read_form(request)
    check_form_token(request, form.get("token", ""))
    verb, reason = _allowed(request, selection, form.get), form.get("reason", "")
    check_reason(reason, verb, "these sagas; their events keep it")
    await Jobs(client.wire, client.names).check()
    since = await positions(client.wire, client.names)
    found = await selection.find(request, client, selection.fields(form.get))
    records = sorted(found, key=lambda record: record.updated_at)[: _count(form.get("count", ""))]
    if not records:
        raise NotAllowed("none of these sagas is left: look at the page before again")
    by = request.scope["sagakit.visitor"].name
    job = await run_new_job(client, verb, records, since, reason=reason, by=by)
    return RedirectResponse(f"{request.scope.get('root_path', '')}/jobs/{job.id}", 303)


def _allowed(request: Request, selection: Selection, get: Field) -> InboundKind:
    """Return the verb that a request names. Raises Problem for one that the visitor may not give."""
    for verb in selection.verbs:
        if verb == get("verb"):
            check_may(request.scope["sagakit.visitor"], VERBS[verb][0], read_only=request.scope["sagakit.read_only"])
            return verb
    raise Problem(404, "NotFound", f"these sagas can be given {', '.join(selection.verbs)}")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidInput("count: the form has to say for how many sagas it is, as the preview does")
    return int(text)


def _why(record: Record, answer: Answer) -> str:
    return answer.refusal.removeprefix(f"{SagaKey(record.saga_type, record.saga_id)}: ")


async def _calls(
    client: Client, verb: InboundKind, records: Sequence[Record], expected: Sequence[Answer]
) -> Counter[str]:
    """Return the steps that would be called again, or undone, with the number of sagas of each."""
    if verb in UNDOING:
        return (await plan_of_job(verb, records, expected, client.plan_of)).undone
    if verb != "retry":
        return Counter()
    takers = [record for record, answer in zip(records, expected, strict=True) if answer.applied]
    return Counter(step for step in (group_of(record).step for record in takers) if step)
