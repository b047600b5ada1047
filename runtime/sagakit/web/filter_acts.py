"""Acts on all sagas that fit a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from sagakit.engine import InboundKind, Record
from sagakit.errors import InvalidInput
from sagakit.web.looking import wanted_where_text
from sagakit.web.many_acts import Selection, preview, run
from sagakit.web.page_acts import VERBS, why_not_here

if TYPE_CHECKING:
    from sagakit.client.client import Client


async def preview_act(request: Request, client: Client) -> Response:
    """Show what an act on all sagas that fit would do, and ask for the reason."""
    return await preview(request, client, _FITTING)


async def run_act(request: Request, client: Client) -> Response:
    """Give all sagas that fit a verb, as a job, and lead to its page."""
    return await run(request, client, _FITTING)


def filter_acts(request: Request, where: str) -> Sequence[tuple[InboundKind, str, str]]:
    """Return the verbs for all that fit a filter, each with the query of its preview, and why the visitor may not."""
    if request.scope["sagakit.read_only"] or not where.strip():
        return []
    return [(verb, urlencode({"verb": verb, "where": where}), why_not_here(request, VERBS[verb][0])) for verb in VERBS]


async def _fitting(request: Request, client: Client, fields: Mapping[str, str]) -> Sequence[Record]:
    if not fields["where"].strip():
        raise InvalidInput("where: an empty filter would choose every saga: write * if you mean that")
    wanted = await wanted_where_text(request, client, fields["where"], ended=False)  # the ended take no verb
    return (await client.repository.records(wanted)).records


_FITTING = Selection("Sagas", "/sagas", tuple(VERBS), lambda get: {"where": get("where") or ""}, _fitting)
