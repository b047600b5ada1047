"""The overview: how many sagas there are, what waits, and who works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from sagakit.engine import ENDS
from sagakit.jetstream.wire_reading import WireReading
from sagakit.repository.counting import SagaCounts
from sagakit.repository.filters import STATUSES
from sagakit.repository.groups import StuckGroup
from sagakit.repository.leases import LeaseAt
from sagakit.times import moment_of
from sagakit.web.backlog import backlog_of
from sagakit.web.rates import OUTCOMES, Rates
from sagakit.web.rendering import LISTED, WHOLE, page
from sagakit.web.shared_looks import FEW, Looks

if TYPE_CHECKING:
    from sagakit.client.client import Client


async def show_overview(request: Request, client: Client) -> Response:
    """Show how many sagas there are, by status and type, what waits, and who works."""
    looks: Looks = request.scope["sagakit.looks"]
    told = await looks.counts.get(client)
    groups, later = await groups_soon(looks, told, client)
    leases = await client.repository.leases()
    now = await client.now()  # after what is told of by its age
    rates: Rates = request.scope["sagakit.rates"]
    totals = Counter[str]()
    types: dict[str, Counter[str]] = {}
    for (saga_type, status), number in told.counts.items():
        totals[status] += number
        types.setdefault(saga_type, Counter())[status] += number
    made = page(
        request, "overview", page="Overview", now=now, refresh=WHOLE if later is None else LISTED, exact=told.exact,
        totals=[(name, totals[name]) for name in STATUSES], names=STATUSES, types=dict(sorted(types.items())),
        workers=[_worker(lease) for lease in leases], backlog=await backlog_of(client, leases),
        stuck=None if groups is None else len(groups), as_of=moment_of(told.as_of),
        oldest=moment_of(min((group.oldest_at for group in groups or ()), default=None)),
        outcomes=OUTCOMES, rates=await rates.look(WireReading(client.wire, client.names), client.wire.together, now),
    )  # fmt: skip
    made.background = later
    return made


async def groups_soon(
    looks: Looks, told: SagaCounts, client: Client
) -> tuple[Sequence[StuckGroup] | None, BackgroundTask | None]:
    """Return the groups of the stuck, and None. Raises StoreError.

    Where there are many sagas it may take long: then return the last groups, if there are any, and a task that finds
    the groups for those who come later.
    """
    if sum(number for (_, status), number in told.counts.items() if status not in ENDS) <= FEW:
        return await looks.groups.get(client), None
    groups, old = looks.groups.known()
    return groups, BackgroundTask(looks.groups.renew, client) if old else None


def _worker(lease: LeaseAt) -> dict[str, Any]:
    says = lease.says
    sagas = None if says.counts is None else sum(sum(numbers.values()) for numbers in says.counts.values())
    return {"id": says.worker, "renewed": moment_of(lease.at), "sagas": sagas, "types": says.definitions}
