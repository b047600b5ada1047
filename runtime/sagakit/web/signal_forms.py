"""The forms that send signals to a saga: on its page, and on a page for each signal, which tells what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sagakit.definition import Plan
from sagakit.engine import Record
from sagakit.errors import InvalidInput
from sagakit.web.acting import check_reason, give_signal, payload_schema, signal_schemas
from sagakit.web.bodies import SignalBody
from sagakit.web.forms import read_form
from sagakit.web.looking import address_of
from sagakit.web.page_acts import why_not_here, why_refused
from sagakit.web.problems import Problem
from sagakit.web.rendering import check_form_token, form_token, page, place_of
from sagakit.web.value_form import FormField, ValueForm

if TYPE_CHECKING:
    from sagakit.client.client import Client


class SignalForm(NamedTuple):
    """The form for a signal. `why_not` says why it may not be sent; empty if it may.

    `awaited` is true while the saga waits for the signal: one that comes before waits in the record.
    """

    name: str
    fields: Sequence[FormField]
    awaited: bool
    why_not: str

    @property
    def note(self) -> str:
        """The words for what becomes of it now."""
        if self.awaited:
            return "the saga waits for it"
        return "" if self.why_not else "the saga has not reached it, and keeps it until then"


async def signal_forms(
    request: Request, client: Client, record: Record, plan: Plan | None, now: float
) -> Sequence[SignalForm]:
    """Return the forms for all signals of a saga, those that it waits for first."""
    names = None if plan is None else [node.name for node in plan.nodes if node.kind == "signal"]
    if names == []:
        return []
    schemas = signal_schemas(await client.schemas(), record) or {}
    forbidden = why_not_here(request, "operator")
    found = [
        SignalForm(
            name=name,
            fields=_value(schemas.get(name)).fields,
            awaited=name in record.steps and record.steps[name].state == "awaiting",
            why_not=forbidden or why_refused("signal", name, record, plan, now),
        )
        for name in names or schemas
    ]
    return sorted(found, key=lambda form: (not form.awaited, bool(form.why_not)))


def _value(schema: Mapping[str, object] | None) -> ValueForm:
    return ValueForm("payload", {} if schema is None else schema)


async def show_signal(request: Request, client: Client) -> Response:
    """Show the form that sends a signal to a saga."""
    record = await client.record(str(address_of(request)))
    return await _form(request, client, record, {}, "")


async def take_signal(request: Request, client: Client) -> Response:
    """Send a signal to a saga by a form, and lead back to its page."""
    address, name, form = address_of(request), request.path_params["name"], await read_form(request)
    check_form_token(request, form.get("token", ""))
    record = await client.record(str(address))
    schema = payload_schema(await client.schemas(), record, name)
    value = _value(schema)
    try:
        check_reason(form.get("reason", ""), "signal")
        body = SignalBody(payload=value.value_of(form), reason=form["reason"], run=form.get("run", ""))
        await give_signal(client, record, name, body, schema=schema, by=request.scope["sagakit.visitor"].name)
    except InvalidInput as error:
        return await _form(request, client, record, form, str(error))
    except Problem as error:
        if error.code != "InvalidInput":
            raise
        return await _form(request, client, record, form, value.faults_of(error))
    return RedirectResponse(f"{place_of(request, address)}?done=signal", 303)


async def _form(request: Request, client: Client, record: Record, given: Mapping[str, str], problem: str) -> Response:
    name, plan = request.path_params["name"], await client.plan_of(record)
    forms = await signal_forms(request, client, record, plan, await client.now())
    one = next((form for form in forms if form.name == name), None)
    address = address_of(request)
    if one is None:
        raise Problem(404, "UnknownSignal", f"{address} has no signal {name[:80]!r}")
    return page(
        request, "signal", page="", status=422 if problem else 200, here=place_of(request, address), saga=record,
        signal=one, given=given, problem=problem, token=form_token(request),
    )  # fmt: skip
