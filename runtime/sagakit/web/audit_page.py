"""The page of what operators did: who, what, to which saga, why and when, from the events of the sagas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sagakit.client.json_lines import audit_line
from sagakit.repository.repository import LOOKED_THROUGH
from sagakit.web.rendering import LISTED, page

if TYPE_CHECKING:
    from sagakit.client.client import Client

SHOWN = 100
"""Acts that the page shows."""


async def show_audit(request: Request, client: Client) -> Response:
    """Show the latest verbs that operators gave, or those of one operator."""
    by = request.query_params.get("by", "")
    acts = [audit_line(event) for event in await client.repository.operator_acts(SHOWN, by=by)]
    return page(
        request, "audit", page="Audit", now=await client.now(), refresh=LISTED, acts=acts, by=by, most=LOOKED_THROUGH
    )
