"""When a saga under which nothing is under way gives its place to others, and when its actor gives itself up."""

from __future__ import annotations

from collections.abc import Callable

from sagakit.definition.plan import Plan
from sagakit.engine import Record, goes_on
from sagakit.system.outbox import Outbox
from sagakit.system.reminders import Reminders
from sagakit.system.services import Services


def mind_place(services: Services, key: str, plan: Plan, record: Record, *, published: int, held: bool) -> None:
    """Let others have the place. Without one, ask for it, if that is all that keeps the saga from going on."""
    places = services.sagas.places
    if places.has(key):
        places.idle(key)
    elif not held and goes_on(plan, record, services.now(), published=published, limits=services.limits):
        places.ask(key)


def may_rest(
    services: Services,
    key: str,
    record: Record,
    outbox: Outbox,
    reminders: Reminders,
    *,
    told: bool,
    parent_knows: bool,
    look_again: Callable[[], None],
) -> bool:
    """Whether the actor may give way now: at once without a place, else when it is `told` after `rest_after` seconds.

    If not, it is told later, or `look_again` is called when all events are out.
    """
    now, after = services.now(), services.config.rest_after
    ready = outbox.is_out and parent_knows
    if not services.sagas.places.has(key):
        if not outbox.is_out:  # else it is the parent that is waited for, and `look_again` would be called at once
            outbox.when_idle(look_again)
        return ready
    if record.wake_at is not None and record.wake_at < now + after:
        return False
    rest_at, reminders.rest_at = reminders.rest_at, None
    if rest_at is not None and rest_at > now:
        reminders.rest_at = rest_at
    elif rest_at is not None and told and ready:
        return True
    else:
        reminders.rest(now + after)
    return False
