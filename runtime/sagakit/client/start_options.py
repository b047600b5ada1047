"""The options of a start, as programs give them, checked."""

from __future__ import annotations

from datetime import timedelta
from math import inf
from typing import TypedDict, get_args

from msgspec import Raw

from sagakit.client.verbs import message_id_of
from sagakit.engine import Inbound
from sagakit.engine.record import END_OF_TIME, NOTHING
from sagakit.errors import InvalidInput
from sagakit.messages.ids import new_id
from sagakit.messages.inbox_request import IdConflict
from sagakit.messages.start_context import StartContext, StartTerms
from sagakit.messages.validation import checked_context, checked_message, signal_of
from sagakit.naming import nearest
from sagakit.times import Moment, epoch_seconds


class StartOptions(TypedDict, total=False):
    """Options of `start` and `start_with_signal`, all of them by name.

        await runtime.start(Remind, "order-7", order, after=timedelta(days=3), attributes={"region": "eu"})

    The two ids, `trace` and `attributes` may have 16 KiB together, as JSON, and each id 512 characters.
    """

    correlation_id: str | None
    """Id that every event repeats."""
    causation_id: str | None
    """Id of the cause of the saga, which every event repeats."""
    trace: dict[str, str] | None
    """Trace context, which every event repeats."""
    attributes: dict[str, str] | None
    """Texts by name, by which `list` finds the saga."""
    id_conflict: IdConflict
    """Answer for an id that was started before, with an equal input: "return" the saga, or "error"."""
    message_id: str | None
    """Id of this start: sent again under it, the start is never in conflict with itself. None makes one up."""
    at: Moment | None
    """Time at which the saga begins: a datetime with a time zone, or seconds since the epoch."""
    after: timedelta | float | None
    """Time after which the saga begins, as a timedelta or in seconds, by the server's clock."""


_NAMES = tuple(StartOptions.__annotations__)


def context_of(options: StartOptions) -> StartContext:
    """Return the origin and the attributes that the options give. Raises InvalidInput, and TypeError for others."""
    for name in options:
        if name not in _NAMES:
            raise TypeError(f"start() got an unexpected keyword argument {name!r}{nearest(name, _NAMES)}")
    return checked_context(
        StartContext(
            correlation_id=options.get("correlation_id"),
            causation_id=options.get("causation_id"),
            trace=options.get("trace"),
            attributes=options.get("attributes") or {},
        )
    )


def terms_of(
    options: StartOptions, *, now: float, made_up: bool = False, signal: str = "", payload: Raw = NOTHING
) -> StartTerms:
    """Return the terms of the start that the options give; `now` is the server's time. Raises InvalidInput.

    The signal of this name, if there is one, comes with the start. `made_up` is True for an id that is new.
    """
    conflict, message_id = options.get("id_conflict", "return"), message_id_of("", options.get("message_id"))
    if conflict not in get_args(IdConflict):
        raise InvalidInput(f'id_conflict={conflict!r}: write "return" or "error"')
    if message_id is not None and made_up:
        raise InvalidInput(f"message_id={message_id!r} with id=None: each such start makes another saga; give an id")
    if message_id is None and signal:
        message_id = new_id()
    if message_id is not None:
        checked_message(Inbound(id=message_id, kind="signal"))
    return StartTerms(
        message_id=message_id or "",
        id_conflict=conflict,
        starts_at=_starts_at(options, now),
        signal=signal_of(message_id or "", signal, payload) if signal else None,
    )


def _starts_at(options: StartOptions, now: float) -> float | None:
    at, after = options.get("at"), options.get("after")
    if at is not None and after is not None:
        raise InvalidInput(f"at={at!r}, after={after!r}: a saga starts at a time or after a time, not both")
    if at is None and after is None:
        return None
    try:
        seconds = now + seconds_of(after) if at is None else epoch_seconds(at)
    except ValueError as error:
        raise InvalidInput(f"at: {error}") from None
    if not seconds < END_OF_TIME:  # a worker could not read the message
        raise InvalidInput("the saga would start after the year 9999")
    return max(seconds, 0.0)


def seconds_of(after: object) -> float:
    """Return a delay in seconds. Raises InvalidInput unless it is a timedelta or a number, and not negative."""
    seconds = after.total_seconds() if isinstance(after, timedelta) else after
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < inf:
        return float(seconds)
    raise InvalidInput(f"after={after!r}: write a timedelta, or seconds, from 0 on")
