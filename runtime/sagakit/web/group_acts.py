"""Acts on a group of stuck sagas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from sagakit.engine import InboundKind, Record
from sagakit.repository import Wanted
from sagakit.repository.filters import All, Comparison, Filter
from sagakit.repository.groups import GroupName, group_of
from sagakit.repository.repository import STUCK
from sagakit.web.many_acts import Selection, preview, run

if TYPE_CHECKING:
    from sagakit.client.client import Client

GROUP_VERBS: Sequence[InboundKind] = ("retry", "compensate", "terminate")


async def preview_act(request: Request, client: Client) -> Response:
    """Show what an act on a group would do, and ask for the reason."""
    return await preview(request, client, _GROUP)


async def run_act(request: Request, client: Client) -> Response:
    """Give all sagas of a group a verb, as a job, and lead to its page."""
    return await run(request, client, _GROUP)


async def _members(request: Request, client: Client, fields: Mapping[str, str]) -> Sequence[Record]:
    group = GroupName(**fields)
    of_type = Filter(All((STUCK, Comparison("type", "=", group.type))))
    found = await client.repository.records(Wanted(where=of_type))
    return [record for record in found.records if group_of(record) == group]


def group_query(group: GroupName, verb: InboundKind) -> str:
    """Return the query of the preview of an act on a group."""
    return urlencode({"verb": verb, **group._asdict()})


_GROUP = Selection(
    "Stuck", "/stuck", GROUP_VERBS, lambda get: {name: get(name) or "" for name in GroupName._fields}, _members
)
