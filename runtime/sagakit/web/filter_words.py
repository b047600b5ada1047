"""The words that filters may have, for those who complete what somebody writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from starlette.requests import Request
from starlette.responses import Response

from sagakit.engine.record import Cause
from sagakit.repository.filters import FIELDS, STATUSES
from sagakit.web.api_shapes import WordsAnswer
from sagakit.web.looking import as_json

if TYPE_CHECKING:
    from sagakit.client.client import Client


async def list_words(request: Request, client: Client) -> Response:
    """List the words of filters: the fields, and known types, steps, statuses, causes and workers."""
    schemas, leases = await client.schemas(), await client.repository.leases()
    parts = [part for one in schemas.values() for part in (one["steps"], one["signals"], one["items"], one["children"])]
    steps = {name for part in parts for name in part}
    return as_json(
        WordsAnswer(
            fields={name: kind for name, (kind, _) in FIELDS.items()},
            values={
                "type": sorted(schemas),
                "step": sorted(steps),
                "status": STATUSES,
                "cause": get_args(Cause),
                "owner": [lease.says.worker for lease in leases],
            },
        )
    )
