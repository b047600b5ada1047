"""The replay of one saga: its page as it was after one of its events, with the way to the events before and after."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from sagakit.client.description import described
from sagakit.definition import Plan
from sagakit.engine import Record
from sagakit.engine.events import CloudEvent
from sagakit.repository.listing import History
from sagakit.web.drawn_nodes import drawn_saga
from sagakit.web.fleet_pages import kept_plan
from sagakit.web.looking import address_of, number_of, redaction_of
from sagakit.web.problems import Problem
from sagakit.web.rendering import page, place_of
from sagakit.web.saga_view import reasons_of, shown_event, shown_steps
from sagakit.web.time_axis import time_axis
from sagakit.web.time_zones import zone_of

if TYPE_CHECKING:
    from sagakit.client.client import Client

AROUND = 3
"""Events before and after the present one that the page lists."""
MOST = 2000
"""Events of a saga that is replayed here: each look reads them all, and folds those before it."""


class PastState(NamedTuple):
    """A saga as it was: its record after an event, as far as events tell.

    `events` are all that are kept, `place` is the index of the one that led here. The numbers of events are those of
    links; None where there is none.
    """

    record: Record
    events: Sequence[CloudEvent]
    place: int

    @property
    def event(self) -> CloudEvent:
        """The event that led here."""
        return self.events[self.place]

    def number(self, distance: int) -> int | None:
        """Return the number of an event so many places from here; None if there is none."""
        place = self.place + distance
        return self.events[place].sequence if 0 <= place < len(self.events) else None


def moment_after(history: History, number: int) -> PastState:
    """Return the moment after the event with a number. Raises Problem for one that there is not, or not any more."""
    events = history.events
    place = bisect_left(events, number, key=lambda event: event.sequence)
    if place == len(events) or events[place].sequence != number:
        kept = f"those from {events[0].sequence:,} to {events[-1].sequence:,} are kept" if events else "none is kept"
        raise Problem(404, "NotFound", f"there is no event {number:,} of this saga: {kept}")
    *_, last = History(history.record, events[: place + 1]).replay()
    return PastState(last.record, events, place)


async def show_replay(request: Request, client: Client) -> Response:
    """Show one saga as it was after the event that `at` names."""
    address, number = address_of(request), number_of(request, "at", 1, MOST)
    record = await client.record(str(address))
    if record.next_event - 1 > MOST:
        text = f"a saga with more than {MOST:,} events is not replayed here: `sagakit replay {address}` shows them all"
        raise Problem(422, "TooManyEvents", text)
    history, redaction = await client.repository.history(record), redaction_of(request)
    past = moment_after(history, number)
    moment = PastState(redaction.record(past.record), [redaction.event(one) for one in past.events], past.place)
    plan, place, zone = await _plan_of(client, record, moment.record), moment.place, zone_of(request)
    saga = described(moment.record, moment.events[: place + 1], None, "", {}, plan=plan)
    return page(
        request, "replay", page="", now=await client.now(), here=place_of(request, address), saga=saga, moment=moment,
        reasons=reasons_of(saga, zone), diagram=drawn_saga(plan, saga.steps, zone), steps=shown_steps(saga.steps),
        axis=time_axis(saga, saga.updated_at), event=shown_event(moment.event),
        around=[shown_event(one) for one in moment.events[max(0, place - AROUND) : place + AROUND + 1]],
    )  # fmt: skip


async def _plan_of(client: Client, record: Record, then: Record) -> Plan | None:
    """Return the plan by which a saga ran then: it may have been migrated since."""
    if then.definition_version == record.definition_version:
        return await client.plan_of(record)
    return await kept_plan(client, record.saga_type, then.definition_version)
