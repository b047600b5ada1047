"""The pages of stuck sagas and of one saga, and what all pages share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sagakit.client.description import described
from sagakit.client.json_lines import group_line
from sagakit.client.json_shapes import GroupLine
from sagakit.engine import ENDS, InboundKind, Record
from sagakit.engine.record import NOTHING
from sagakit.errors import UNREADABLE, InvalidInput, SagakitError
from sagakit.repository.groups import GroupName, group_of
from sagakit.web.acting import act, check_reason, check_run
from sagakit.web.assets import digest
from sagakit.web.drawn_nodes import drawn_saga
from sagakit.web.forms import read_form
from sagakit.web.group_acts import GROUP_VERBS, group_query
from sagakit.web.looking import address_of, redaction_of
from sagakit.web.page_acts import STEP_VERBS, VERBS, acts_on
from sagakit.web.problems import Problem, as_answer
from sagakit.web.rendering import ONE, WHOLE, check_form_token, form_token, page, place_of
from sagakit.web.replay_page import show_replay
from sagakit.web.saga_view import operator_acts, reasons_of, shown_event, shown_steps
from sagakit.web.shared_looks import Looks
from sagakit.web.signal_forms import signal_forms
from sagakit.web.time_axis import time_axis
from sagakit.web.time_zones import chosen_zone, zone_of

if TYPE_CHECKING:
    from sagakit.client.client import Client


async def show_stuck(request: Request, client: Client) -> Response:
    """Show the groups of stuck sagas."""
    looks: Looks = request.scope["sagakit.looks"]
    groups = [group_line(group) for group in await looks.groups.get(client)]
    acts = {} if request.scope["sagakit.read_only"] else _acts_on_groups(request, groups)
    return page(request, "stuck", page="Stuck", now=await client.now(), refresh=WHOLE, groups=groups, acts=acts)


def _acts_on_groups(request: Request, groups: Sequence[GroupLine]) -> Mapping[int, Sequence[tuple[str, str]]]:
    """Return the verbs that the visitor may give each group, with the queries of their previews."""
    visitor = request.scope["sagakit.visitor"]
    verbs: list[InboundKind] = [verb for verb in GROUP_VERBS if visitor.may(VERBS[verb][0])]
    names = [GroupName(group.type, group.step, group.error) for group in groups]
    return {number: [(verb, group_query(name, verb)) for verb in verbs] for number, name in enumerate(names)}


async def show_saga(request: Request, client: Client) -> Response:
    """Show one saga; with `at`, as it was after that event.

    While its record and the token of its forms are the same, a page that asks again gets no text.
    """
    if request.query_params.get("at"):
        return await show_replay(request, client)
    address = address_of(request)
    key = str(address)
    record = await client.record(key)
    done = request.query_params.get("done", "")
    # a kept page has the form and the times of one visitor, and the styles of one release
    whose = f"{form_token(request)[:16]}.{chosen_zone(request)}.{digest('console.css')}"
    tag = f'"{record.run}.{record.version}.{whose}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    events, plan = await client.repository.last_events(record), await client.plan_of(record)
    now = await client.now()
    redaction = redaction_of(request)
    shown, events = redaction.record(record), [redaction.event(event) for event in events]
    visitor, saga = request.scope["sagakit.visitor"], described(shown, events, None, "", {}, plan=plan)
    return page(
        request, "saga", page="", tag=tag, now=now, key=key, here=place_of(request, address), saga=saga,
        total=record.next_event - 1,
        refresh=0 if record.status in ENDS and not record.outbox else ONE,
        events=[shown_event(one) for one in reversed(events)], reasons=reasons_of(saga, zone_of(request)),
        operated=operator_acts(events), kind_acts=_acts_on_kind(request, record),
        diagram=drawn_saga(plan, saga.steps, zone_of(request)), steps=shown_steps(saga.steps),
        axis=time_axis(saga, datetime.fromtimestamp(now, UTC)),
        acts=acts_on(record, plan, visitor, now, read_only=request.scope["sagakit.read_only"]),
        signals=[] if record.status in ENDS else await signal_forms(request, client, record, plan, now),
        token=form_token(request), done=done if done in {*VERBS, *STEP_VERBS, "signal"} else "",
        record=msgspec.json.format(msgspec.json.encode(shown), indent=2).decode(),
    )  # fmt: skip


def _acts_on_kind(request: Request, record: Record) -> Sequence[tuple[str, str]]:
    """Return the verbs that the visitor may give all sagas that are stuck as this one is, with their previews."""
    if record.status != "stuck" or request.scope["sagakit.read_only"]:
        return []
    visitor, group = request.scope["sagakit.visitor"], group_of(record)
    return [(verb, group_query(group, verb)) for verb in GROUP_VERBS if visitor.may(VERBS[verb][0])]


async def take_form(request: Request, client: Client) -> Response:
    """Give a saga the verb of a form, and lead back to its page."""
    address, verb = address_of(request), request.scope["path"].rpartition("/")[2]
    if verb not in {*VERBS, *STEP_VERBS}:
        raise Problem(404, "NotFound", f"there is no act {verb[:40]!r}")
    kind: InboundKind = verb
    form = await read_form(request)
    check_form_token(request, form.get("token", ""))
    visitor = request.scope["sagakit.visitor"]
    reason = form.get("reason", "")
    check_reason(reason, verb)
    check_run(address, await client.record(str(address)), form.get("run", ""), verb)
    payload = _json(form.get("result", "")) if kind == "complete-step" else NOTHING
    await act(client, address, kind, step=form.get("step", ""), payload=payload, reason=reason, by=visitor.name)
    return RedirectResponse(f"{place_of(request, address)}?done={verb}", 303)


def _json(text: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(text)
    except UNREADABLE as error:
        raise InvalidInput(f"the result is not JSON: {error}") from None
    return msgspec.Raw(text.encode())


def as_page(request: Request, error: Problem | SagakitError) -> Response:
    """Return the page for an error."""
    answer = as_answer(error)
    told = msgspec.json.decode(answer.body)
    name = type(error).__name__ if isinstance(error, SagakitError) else ""
    shown = {"title": told["title"], "detail": told["detail"], "error": name}
    made = page(request, "problem", page="", status=answer.status_code, **shown)
    made.headers.update({name: value for name, value in answer.headers.items() if not name.startswith("content-")})
    return made
