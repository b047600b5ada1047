"""The overview: how many sagas there are, what waits, and who works."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from sagakit.repository.filters import STATUSES
from sagakit.repository.leases import LeaseAt
from sagakit.repository.wanted import Wanted
from sagakit.times import moment_of
from sagakit.web.backlog import backlog_of
from sagakit.web.rendering import WHOLE, page

if TYPE_CHECKING:
    from sagakit.client.client import Client


async def show_overview(request: Request, client: Client) -> Response:
    """Show how many sagas there are, by status and type, what waits, and who works."""
    now = await client.now()
    told = await client.repository.count(Wanted(ended=True))
    groups, leases = await client.repository.groups(Wanted()), await client.repository.leases()
    totals = Counter[str]()
    types: dict[str, Counter[str]] = {}
    for (saga_type, status), number in told.counts.items():
        totals[status] += number
        types.setdefault(saga_type, Counter())[status] += number
    return page(
        request, "overview", page="Overview", now=now, refresh=WHOLE, exact=told.exact, as_of=moment_of(told.as_of),
        totals=[(name, totals[name]) for name in STATUSES], names=STATUSES, types=dict(sorted(types.items())),
        workers=[_worker(lease) for lease in leases], stuck=len(groups), backlog=await backlog_of(client, leases),
        oldest=moment_of(min((group.oldest_at for group in groups), default=None)),
    )  # fmt: skip


def _worker(lease: LeaseAt) -> dict[str, Any]:
    says = lease.says
    sagas = None if says.counts is None else sum(sum(numbers.values()) for numbers in says.counts.values())
    return {"id": says.worker, "renewed": moment_of(lease.at), "sagas": sagas, "types": says.definitions}
