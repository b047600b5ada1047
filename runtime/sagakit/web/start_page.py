"""The page that starts a saga, by a form for the input of its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import anyio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sagakit.definition import SagaSchema
from sagakit.errors import AlreadyStarted, InvalidId, InvalidInput
from sagakit.messages.ids import new_id
from sagakit.naming import SagaKey
from sagakit.web.acting import schema_of, started_by
from sagakit.web.bodies import StartBody
from sagakit.web.forms import read_form
from sagakit.web.page_acts import why_not_here
from sagakit.web.problems import Problem
from sagakit.web.rendering import check_form_token, form_token, page, place_of
from sagakit.web.value_form import ValueForm

if TYPE_CHECKING:
    from sagakit.client.client import Client

BEGINS = 10.0
"""Seconds that a worker has to begin the saga before its page is shown."""


async def show_start(request: Request, client: Client) -> Response:
    """Show the form that starts a saga."""
    return _form(request, await schema_of(client, request.path_params["type"]), {}, "")


async def take_start(request: Request, client: Client) -> Response:
    """Start a saga by the form, once for each time that the form was loaded, and lead to its page."""
    saga_type, form = request.path_params["type"], await read_form(request)
    check_form_token(request, form.get("token", ""))
    schema = await schema_of(client, saga_type)
    value = ValueForm("input", schema["input"])
    id = form.get("id", "").strip() or form.get("fresh") or new_id()
    try:
        body = StartBody(input=value.value_of(form), id=id)
        with anyio.move_on_after(BEGINS) as waited:
            await started_by(client, schema, body, wait="started")
    except (InvalidInput, InvalidId, AlreadyStarted) as error:
        return _form(request, schema, form, str(error))
    except Problem as error:
        if error.code != "InvalidInput":
            raise
        return _form(request, schema, form, value.faults_of(error))
    if waited.cancelled_caught:
        raise Problem(504, "Timeout", f"no worker has begun {id} yet: its start stays, and may be sent again")
    return RedirectResponse(place_of(request, SagaKey(saga_type, id)), 303)


def _form(request: Request, schema: SagaSchema, given: Mapping[str, str], problem: str) -> Response:
    return page(
        request, "start", page="Definitions", status=422 if problem else 200, type=schema["saga"],
        version=schema["version"], fields=ValueForm("input", schema["input"]).fields, given=given, problem=problem,
        fresh=given.get("fresh") or new_id(), token=form_token(request), why_not=why_not_here(request, "operator"),
    )  # fmt: skip
