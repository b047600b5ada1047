"""The page of sagas: those that fit a filter, newest first, with the columns that the visitor has chosen."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sagakit.client.json_lines import saga_line
from sagakit.errors import InvalidId, InvalidInput, UnknownSaga
from sagakit.messages.validation import check_id
from sagakit.naming import SagaKey
from sagakit.web.filter_acts import filter_acts
from sagakit.web.looking import LIMIT, redaction_of, wanted_by
from sagakit.web.rendering import LISTED, page, place_of
from sagakit.web.saga_columns import USUAL, columns_in, offered_columns

if TYPE_CHECKING:
    from sagakit.client.client import Client

FILTERS = (
    ("unfinished", ""),
    ("stuck", "status = stuck"),
    ("waiting for hours", "updated < -2h"),
    ("failed", "status = failed"),
    ("completed", "status = completed"),
)


async def show_sagas(request: Request, client: Client) -> Response:
    """Show the sagas that fit a filter, newest first."""
    where, cursor = request.query_params.get("where", ""), request.query_params.get("cursor") or None
    columns = columns_in(request)
    shown: dict[str, Any] = {"items": [], "unreadable": (), "cursor": None, "problem": ""}
    try:
        found = await client.repository.records(await wanted_by(request, client), limit=LIMIT, cursor=cursor)
        redaction = redaction_of(request)
        shown |= {
            "items": [saga_line(redaction.record(one)) for one in found.records],
            "unreadable": found.unreadable,
            "cursor": found.cursor,
        }
        now = found.as_of
    except InvalidInput as error:
        if address := await _with_id(client, where.strip()):
            return RedirectResponse(place_of(request, address), 303)
        shown["problem"], now = str(error), 0.0
    return page(
        request, "sagas", page="Sagas", now=now, refresh=0 if cursor or shown["problem"] else LISTED,
        status=422 if shown["problem"] else 200, where=where, before=cursor, quick=FILTERS, chosen=columns,
        columns=columns or USUAL, offered=offered_columns(columns, shown["items"]),
        kept=urlencode([("column", name) for name in columns]),
        acts=[] if shown["problem"] else filter_acts(request, where), **shown,
    )  # fmt: skip


async def _with_id(client: Client, text: str) -> SagaKey | None:
    """Return the saga whose id a text is that is not a filter; None if there is none."""
    for saga_type in await client.schemas():
        with suppress(UnknownSaga, InvalidId):
            address = SagaKey(saga_type, check_id(text))
            await client.repository.get(str(address))
            return address
    return None
