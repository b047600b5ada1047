"""The endpoints that look at sagas, and change nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sagakit.client.json_lines import detail_of, event_line, group_line, saga_line
from sagakit.client.json_shapes import CountLine
from sagakit.client.redaction import Redaction
from sagakit.engine import ENDS, Record
from sagakit.errors import InvalidInput
from sagakit.naming import SagaKey, id_of, is_name
from sagakit.repository import Wanted, parse
from sagakit.repository.wanted import wanted_where
from sagakit.times import moment_of
from sagakit.web.api_shapes import (
    CountAnswer,
    EventAnswer,
    GroupAnswer,
    OutcomeAnswer,
    SagaPage,
    UnreadableLine,
)
from sagakit.web.problems import Problem

if TYPE_CHECKING:
    from sagakit.client.client import Client

MAX_LIMIT, LIMIT = 1000, 50
"""Sagas of a page: at the most, and unless the request says otherwise."""
MAX_FILTER = 8192
"""Characters of a filter."""
MAX_WAIT = 60
"""Seconds that a request may wait for the end of a saga."""
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)
T = TypeVar("T")


def as_json(value: object, status: int = 200, **headers: str) -> Response:
    """Return an answer in JSON."""
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def redaction_of(request: Request) -> Redaction:
    """Return the redaction of this app."""
    found: Redaction = request.scope["sagakit.redaction"].opening(request.scope["sagakit.client"].payloads)
    return found


def address_of(request: Request) -> SagaKey:
    """Return the saga that the path names. Raises InvalidId, Problem."""
    saga_type = request.path_params["type"]
    if not is_name(saga_type):
        raise Problem(404, "UnknownType", f"{saga_type[:80]!r} is not the name of a saga type")
    address = SagaKey(saga_type, id_of(request.path_params["id"]))
    str(address)  # so that an id which is too long is told at once
    return address


async def list_sagas(request: Request, client: Client) -> Response:
    """List sagas by a filter, the one that was written last comes first."""
    limit = number_of(request, "limit", LIMIT, MAX_LIMIT)
    cursor = request.query_params.get("cursor") or None
    found = await client.repository.records(await wanted_by(request, client), limit=limit, cursor=cursor)
    redaction = redaction_of(request)
    return as_json(
        SagaPage(
            items=[saga_line(redaction.record(record)) for record in found.records],
            cursor=found.cursor,
            unreadable=[UnreadableLine(key=one.key, reason=one.reason) for one in found.unreadable],
            read=found.read,
            as_of=moment_of(found.as_of),
        )
    )


async def count_sagas(request: Request, client: Client) -> Response:
    """Count sagas by type and status."""
    wanted = await wanted_by(request, client)
    told = await client.repository.count(wanted, exact=_flag(request, "exact") is True)
    counts = [CountLine(type=type, status=status, count=number) for (type, status), number in told.counts.items()]
    return as_json(CountAnswer(counts=counts, exact=told.exact, as_of=moment_of(told.as_of)))


async def group_sagas(request: Request, client: Client) -> Response:
    """Group the stuck sagas by type, step and error."""
    found = await client.repository.groups(await wanted_by(request, client))
    return as_json(GroupAnswer(groups=[group_line(group) for group in found]))


async def describe_saga(request: Request, client: Client) -> Response:
    """Describe one saga: values, steps, attempts, messages."""
    address = address_of(request)
    found = redaction_of(request).description(await client.describe(address.saga_type, address.saga_id))
    return as_json(detail_of(str(address), found))


async def show_record(request: Request, client: Client) -> Response:
    """Return the record of one saga as it is stored."""
    return as_json(redaction_of(request).record(await client.record(str(address_of(request)))))


async def show_history(request: Request, client: Client) -> Response:
    """Return the events of one saga: the first and the last hundred, or all of them."""
    record = await client.record(str(address_of(request)))
    whole = _flag(request, "all") is True
    events = (await client.repository.history(record)).events if whole else await client.repository.last_events(record)
    redaction = redaction_of(request)
    shown = [event_line(redaction.event(event)) for event in events]
    return as_json(EventAnswer(events=shown, total=record.next_event - 1))


async def show_outcome(request: Request, client: Client) -> Response:
    """Return the outcome of one saga; `Prefer: wait=30` waits for it."""
    key, wait = str(address_of(request)), wait_of(request)
    record: Record | None = None
    if wait:
        with anyio.move_on_after(wait):
            record = await client.ended(key, or_stuck=True)
    return outcome_response(request, key, await client.record(key) if record is None else record, wait)


def outcome_response(request: Request, key: str, found: Record, wait: int | None) -> Response:
    """Return the answer with the outcome of a record: 202 while there is none."""
    record = redaction_of(request).record(found)
    return as_json(outcome_answer(key, record), 200 if record.status in ENDS else 202, **applied(wait))


def applied(wait: int | None) -> dict[str, str]:
    """Return the headers of an answer that came after a wait."""
    return {} if wait is None else {"Preference-Applied": f"wait={wait}"}


def outcome_answer(key: str, record: Record) -> OutcomeAnswer:
    """Return the outcome of a record."""
    outcome, failure = record.outcome, record.failure
    if outcome is None:
        return OutcomeAnswer(key=key, status=record.status, stuck=record.stuck)
    if failure is None:
        return OutcomeAnswer(key=key, status=record.status, output=_given(outcome.output))
    return OutcomeAnswer(
        key=key,
        status=record.status,
        cause=failure.cause,
        code=failure.code,
        step=failure.step,
        detail=_given(failure.detail),
        reason=failure.reason,
        compensated=outcome.compensated,
        late_successes=outcome.late_successes,
    )


def _given(value: msgspec.Raw) -> msgspec.Raw | None:
    return value if len(memoryview(value)) else None


def wait_of(request: Request) -> int | None:
    """Return the seconds that a request prefers to wait, at most MAX_WAIT; None if it does not say (RFC 7240)."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return None if found is None else min(int(found[1]), MAX_WAIT)


async def wanted_by(request: Request, client: Client) -> Wanted:
    """Return what the filter of a request looks for. Raises InvalidFilter, InvalidInput."""
    where = request.query_params.get("where", "")
    return await wanted_where_text(request, client, where, ended=_flag(request, "ended"))


async def wanted_where_text(request: Request, client: Client, where: str, *, ended: bool | None = None) -> Wanted:
    """Return what a filter looks for: unfinished sagas, unless it or `ended` says others.

    Raises InvalidFilter, InvalidInput.
    """
    if len(where) > MAX_FILTER:
        raise InvalidInput(f"where: a filter may have {MAX_FILTER:,} characters")
    found = parse(where, now=await client.now() if where.strip() else 0.0)  # no filter names no time
    redaction_of(request).check_filter(found.condition)
    return wanted_where(found, ended=ended)


def _flag(request: Request, name: str) -> bool | None:
    match request.query_params.get(name, ""):
        case "":
            return None
        case "true" | "1":
            return True
        case "false" | "0":
            return False
    raise InvalidInput(f"{name}: write true or false")


def number_of(request: Request, name: str, default: int, most: int) -> int:
    """Return a number that a request gives, from 1 to `most`. Raises InvalidInput."""
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= most):
        raise InvalidInput(f"{name}: write a whole number from 1 to {most:,}")
    return int(text)
