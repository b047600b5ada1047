"""The overview: how many sagas there are, what waits, and who works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

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
from sagakit.web.backlog import inbox_of, outbox_of
from sagakit.web.rates import OUTCOMES, Rates
from sagakit.web.rendering import LISTED, WHOLE, page
from sagakit.web.shared_looks import FEW, STILL_TRUE, Looks

if TYPE_CHECKING:
    from sagakit.client.client import Client


async def show_overview(request: Request, client: Client) -> Response:
    """Show how many sagas there are, by status and type, what waits, and who works: all of it is read at once."""
    looks: Looks = request.scope["sagakit.looks"]
    rates: Rates = request.scope["sagakit.rates"]
    now = await client.now()
    sagas, leases, inbox, letters, minutes = await _all_of(
        client,
        partial(sagas_soon, looks, client),
        client.repository.leases,
        partial(inbox_of, client),
        client.dead_letters.count,
        partial(rates.look, WireReading(client.wire, client.names), client.wire.together, now),
    )
    told, groups = sagas.counts, sagas.groups
    totals = Counter[str]()
    types: dict[str, Counter[str]] = {}
    for (saga_type, status), number in told.counts.items():
        totals[status] += number
        types.setdefault(saga_type, Counter())[status] += number
    made = page(
        request, "overview", page="Overview", now=now, refresh=LISTED if sagas.soon else WHOLE, exact=told.exact,
        totals=[(name, totals[name]) for name in STATUSES], names=STATUSES, types=dict(sorted(types.items())),
        workers=[_worker(lease) for lease in leases], inbox=inbox, outbox=outbox_of(leases), letters=letters,
        stuck=None if groups is None else len(groups), as_of=moment_of(told.as_of),
        oldest=moment_of(min((group.oldest_at for group in groups or ()), default=None)),
        outcomes=OUTCOMES, rates=minutes,
    )  # fmt: skip
    made.background = BackgroundTask(_each, sagas.later) if sagas.later else None
    return made


class SagaNumbers(NamedTuple):
    """The numbers of sagas, and the groups of the stuck; None while these are not known.

    `later` finds what is newer, for those who come later; `soon` is True if it is worth to look again soon.
    """

    counts: SagaCounts
    groups: Sequence[StuckGroup] | None
    later: Sequence[Callable[[], Awaitable[None]]]
    soon: bool


async def sagas_soon(looks: Looks, client: Client) -> SagaNumbers:
    """Return the sagas. Raises StoreError.

    Where there are many it may take long: then return what the last looks have found, if that is young.
    """
    counts, old = looks.counts.known(WHOLE + LISTED)
    later: list[Callable[[], Awaitable[None]]] = []
    if counts is None or counts.exact:
        counts = await looks.counts.get(client)
    elif old:
        later.append(partial(looks.counts.renew, client))
    if sum(number for (_, status), number in counts.counts.items() if status not in ENDS) <= FEW:
        return SagaNumbers(counts, await looks.groups.get(client), later, soon=False)
    groups, old = looks.groups.known(STILL_TRUE)
    if old:
        later.append(partial(looks.groups.renew, client))
    return SagaNumbers(counts, groups, later, soon=groups is None)


async def _each(calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
    for call in calls:
        await call()


async def _all_of(client: Client, *calls: Callable[[], Awaitable[Any]]) -> Sequence[Any]:
    """Run coroutine functions at the same time, and return their results. Raises what one of them raises."""
    found: dict[int, Any] = {}

    async def take(number: int, call: Callable[[], Awaitable[Any]]) -> None:
        found[number] = await call()

    await client.wire.together(*(partial(take, number, call) for number, call in enumerate(calls)))
    return [found[number] for number in range(len(calls))]


def _worker(lease: LeaseAt) -> dict[str, Any]:
    says = lease.says
    sagas = None if says.counts is None else sum(sum(numbers.values()) for numbers in says.counts.values())
    return {"id": says.worker, "renewed": moment_of(lease.at), "sagas": sagas, "types": says.definitions}
