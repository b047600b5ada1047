"""When a saga under which nothing is under way gives its place to others, and when its actor gives itself up."""

from __future__ import annotations

from collections.abc import Callable

from sagakit.definition.plan import Plan
from sagakit.engine import Record, goes_on
from sagakit.system.environment import Environment
from sagakit.system.outbox import Outbox
from sagakit.system.reminders import Reminders


def mind_place(environment: Environment, key: str, plan: Plan, record: Record, *, published: int, held: bool) -> None:
    """Let others have the place. Without one, ask for it, if that is all that keeps the saga from going on."""
    places = environment.sagas.places
    if places.has(key):
        places.idle(key)
    elif not held and goes_on(plan, record, environment.now(), published=published, limits=environment.limits):
        places.ask(key)


def may_passivate(
    environment: Environment,
    key: str,
    record: Record,
    outbox: Outbox,
    reminders: Reminders,
    *,
    told: bool,
    parent_knows: bool,
    look_again: Callable[[], None],
) -> bool:
    """Return whether the actor may end now: at once without a place, else when `told` after `passivate_after` seconds.

    If not, it is told later, or `look_again` is called when all events are out.
    """
    now, after = environment.now(), environment.config.passivate_after
    ready = outbox.is_out and parent_knows
    if not environment.sagas.places.has(key):
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
