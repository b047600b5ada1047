"""The page of what operators did: who, what, to which saga, why and when, from the events of the sagas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from sagakit.engine.events import CloudEvent
from sagakit.web.rendering import LISTED, page

if TYPE_CHECKING:
    from sagakit.client.client import Client

SHOWN, MOST = 100, 1000
"""Acts that the page shows; those that it looks through if only some are asked for."""


async def show_audit(request: Request, client: Client) -> Response:
    """Show the latest verbs that operators gave, or those of one operator."""
    by = request.query_params.get("by", "")
    found = await client.repository.operator_acts(MOST if by else SHOWN)
    acts = [act for act in map(_act, found) if by in ("", act["by"])][:SHOWN]
    return page(request, "audit", page="Audit", now=await client.now(), refresh=LISTED, acts=acts, by=by, most=MOST)


def _act(event: CloudEvent) -> dict[str, Any]:
    saga_type, data = event.source.removeprefix("sagakit/"), event.data
    return {
        "id": event.id, "at": event.time, "verb": event.type.rpartition(".")[2], "type": saga_type,
        "saga": event.subject, "by": str(data.get("by") or ""), "why": str(data.get("reason") or ""),
        "step": str(data.get("step") or ""), "after": event.sequence,
    }  # fmt: skip
