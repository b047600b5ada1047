"""The checks of sagas and their messages: stuck, unreadable, unpublished, waiting, dead."""

from __future__ import annotations

from datetime import datetime

from sagakit.doctor.finding import Seen, bad, graded, named, ok, skipped, span, warn
from sagakit.doctor.patient import Patient, StreamInfo

WAITS, WAITS_LONG = 60.0, 600.0
"""Seconds that an event or a message may wait."""
MANY = 1_000
"""Commands for one consumer that may wait."""


async def stuck(patient: Patient) -> Seen:
    """Check whether sagas wait for a person."""
    sagas = await patient.live_sagas()
    if sagas.stuck_since is None:
        return ok("no saga is stuck", 0)
    number, since = sagas.stuck.total(), max(0.0, await patient.now() - sagas.stuck_since)
    types = [f"{of_type:,} {saga_type}" for saga_type, of_type in sagas.stuck.most_common()]
    return warn(f"{number:,} sagas are stuck, the first one for {span(since)}: {named(types)}", number)


async def unreadable(patient: Patient) -> Seen:
    """Check that each record can be read."""
    found = (await patient.live_sagas()).unreadable
    if found.count:
        return bad(f"{found.count:,} records cannot be read: {named(found.keys)}", found.count)
    return ok("each record can be read", 0)


async def outbox(patient: Patient) -> Seen:
    """Check how long events have waited to be published, by the leases of the workers.

    Records do not tell: the record of a saga that waits keeps its last events until its next write.
    """
    waits = {one.lease.worker: one.lease.backlog for one in await patient.leases() if one.lease.backlog}
    if not waits:
        return ok("no event waits to be published", 0.0)
    age = max(waits.values())
    text = f"{len(waits):,} workers have unpublished events, the oldest for {span(age)}: {named(list(waits))}"
    return graded(text, age, warn_from=WAITS, bad_from=WAITS_LONG)


async def inbox(patient: Patient) -> Seen:
    """Check how long messages have waited in the inbox."""
    info = await patient.stream(patient.names.inbox)
    if info is None:
        return skipped("the inbox is missing: see SK201")
    if not info.state.messages:
        return ok("no message waits in the inbox", 0.0)
    age = _age(info, info.state.first_ts)
    text = f"{info.state.messages:,} messages wait in the inbox, the first one for {span(age)}"
    return graded(text, age, warn_from=WAITS, bad_from=WAITS_LONG)


async def commands(patient: Patient) -> Seen:
    """Check how many commands wait on their streams, by the leases of the workers."""
    waits: dict[str, int] = {}
    for one in await patient.leases():
        for consumer, number in one.lease.commands.items():
            waits[consumer] = max(number, waits.get(consumer, 0))  # each worker counts those of all
    if not waits:
        return ok("no command waits", 0)
    number = max(waits.values())
    text = f"commands wait: {named([f'{waiting:,} for {consumer}' for consumer, waiting in waits.items()])}"
    return warn(text, number) if number >= MANY else ok(text, number)


_SOURCES = {
    "inbox": "of the inbox",
    "intake": "of commands for sagas",
    "command": "of participants",
    "edited": "edited",
}
"""The sources of dead letters, for people."""


async def dead_letters(patient: Patient) -> Seen:
    """Check whether messages were given up."""
    if await patient.stream(patient.names.dead) is None:
        return skipped("the stream of dead letters is missing: see SK201")
    numbers, last = await patient.dead_letters()
    number = sum(numbers.values())
    if not number:
        return ok("there are no dead letters", 0)
    age = max(0.0, await patient.now() - last)
    sources = ", ".join(f"{count:,} {_SOURCES[source]}" for source, count in numbers.items() if count)
    return warn(f"{number:,} dead letters, the last one {span(age)} old: {sources}", number)


def _age(info: StreamInfo, moment: datetime | None) -> float:
    """Return the seconds since a moment, by the clock of the server that has answered; 0 if it does not say."""
    return max(0.0, (info.ts - moment).total_seconds()) if info.ts is not None and moment is not None else 0.0
