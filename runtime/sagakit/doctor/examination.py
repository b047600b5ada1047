"""The examination: all checks in order. A code is stable: it is never given to another check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sagakit.doctor import fleet_checks, saga_checks, server_checks, stream_checks
from sagakit.doctor.finding import Check, Diagnosis, Seen, bad, skipped
from sagakit.doctor.patient import Patient
from sagakit.errors import NotPermitted, SagakitError, StoreError, StreamMissing

CHECKS: Sequence[Check] = (
    Check(
        "SK101", "connection",
        "Nothing works without a connection: sagas wait.",
        "Start the server, or correct the URL, the credentials or the TLS options.",
        server_checks.connection,
    ),
    Check(
        "SK102", "server",
        "The server is too old, or takes only small messages: no runtime opens.",
        "Upgrade nats-server to 2.11 or newer; raise `max_payload`.",
        server_checks.server,
    ),
    Check(
        "SK103", "JetStream limits",
        "JetStream is off for this account, or the account is almost full: starts are refused, then sagas wait.",
        "Enable JetStream; raise the limits of the account, or let finished sagas expire sooner (`archive_ttl`).",
        server_checks.limits,
    ),
    Check(
        "SK104", "fsync",
        "A power cut may lose what the server has acknowledged since its last fsync: P8 then covers crashes only.",
        "Set `sync_interval: always` in the block `jetstream`, or accept the loss.",
        server_checks.fsync,
    ),
    Check(
        "SK105", "clock",
        "Sagas go by the server's clock; logs and metrics of this machine do not agree with them.",
        "Run a time service (NTP) on this machine and on the servers.",
        server_checks.clock,
    ),
    Check(
        "SK106", "permissions",
        "A program with this account cannot do all that its role does.",
        "Give the account what `sagakit permissions ROLE` prints.",
        server_checks.permissions,
    ),
    Check(
        "SK201", "streams",
        "A bucket or stream is missing: it was never made, or was deleted.",
        "Run `sagakit setup`. If it was deleted, restore it from a backup first, or by `sagakit store rebuild`.",
        stream_checks.there,
    ),
    Check(
        "SK202", "settings",
        "A stream is not as sagakit makes it: a promise may not hold, or an option has no effect.",
        "Correct it with `nats stream edit`, or correct the options: the finding names both values.",
        stream_checks.settings,
    ),
    Check(
        "SK203", "replicas",
        "The loss of one more server stops sagas, or loses them.",
        "Start the servers that are missing; raise the copies with `nats stream edit`.",
        stream_checks.replicas,
    ),
    Check(
        "SK204", "room",
        "A bucket is almost full: starts are refused, so that running sagas can come to their ends.",
        "Raise `max_bytes` of the bucket with `nats stream edit`.",
        stream_checks.room,
    ),
    Check(
        "SK205", "atomic batches",
        "Writes of many sagas to this stream cannot share an fsync. No promise is in danger.",
        "Run `sagakit setup` once, with an account of the role `setup`.",
        stream_checks.batches,
    ),
    Check(
        "SK301", "leases",
        "A worker is dead or paused. Without any fresh lease nobody runs sagas.",
        "Start workers, or look at the log of the worker that is named.",
        fleet_checks.leases,
    ),
    Check(
        "SK302", "orphans",
        "Sagas wait for a worker to adopt them. Workers look every `scan_interval`.",
        "Start a worker that has these types; `sagakit describe` says what a saga waits for.",
        fleet_checks.orphans,
    ),
    Check(
        "SK303", "stuck sagas",
        "Sagas wait for a person.",
        "`sagakit groups` says why; then `retry`, `compensate`, `complete-step` or `mark-undone`.",
        saga_checks.stuck,
    ),
    Check(
        "SK304", "records",
        "A value under a saga's key is not a record, or a newer sagakit wrote it: the saga does not go on.",
        "Look at it with `nats kv get`, then mend or delete it; upgrade the workers.",
        saga_checks.unreadable,
    ),
    Check(
        "SK305", "outbox",
        "Events are not published in time: consumers are behind.",
        "Start workers for these sagas; look at the event stream's limits and leader.",
        saga_checks.outbox,
    ),
    Check(
        "SK306", "inbox",
        "Starts, signals and verbs wait: no worker takes them, or the workers are full.",
        "Start workers that have these types; raise `max_active`.",
        saga_checks.inbox,
    ),
    Check(
        "SK307", "dead letters",
        "Messages could never be applied, such as a start whose input does not fit.",
        "`sagakit dead-letters list` shows their reasons. Correct the sender; then `resend` or `delete` them.",
        saga_checks.dead_letters,
    ),
    Check(
        "SK308", "commands",
        "Commands that start or change sagas wait: they come faster than workers take them, or the inbox is full.",
        "Start more workers; look at SK306. `nats consumer info` shows the consumer that is named.",
        saga_checks.commands,
    ),
)  # fmt: skip
"""All checks, by code. The first digit is the area: 1 the server, 2 the streams, 3 the fleet and its sagas."""
WITHOUT_JETSTREAM = (server_checks.connection, server_checks.server, server_checks.limits, server_checks.fsync)
"""The checks that have an answer where JetStream is off."""


def chosen_checks(only: Sequence[str]) -> Iterator[Check]:
    """Yield the checks whose code begins with one of the given texts; all of them if none is given."""
    return (check for check in CHECKS if not only or check.code.startswith(tuple(only)))


async def examine(patient: Patient, only: Sequence[str] = ()) -> Sequence[Diagnosis]:
    """Return the findings of all checks, or of those whose code begins with one of `only`. Changes nothing."""
    return [_finding(check, await _look(check, patient)) for check in chosen_checks(only)]


def not_connected(error: SagakitError, only: Sequence[str] = ()) -> Sequence[Diagnosis]:
    """Return the findings where there is no connection: the first check is bad, the others are skipped."""
    first, *others = CHECKS
    chosen = list(chosen_checks(only))
    skips = [_finding(check, skipped(f"no connection: see {first.code}")) for check in others if check in chosen]
    return [_finding(first, bad(str(error))), *skips]


async def _look(check: Check, patient: Patient) -> Seen:
    try:
        if check.look not in WITHOUT_JETSTREAM and not await patient.has_jetstream():
            return skipped("JetStream is off: see SK103")
        return await check.look(patient)
    except NotPermitted as error:
        return skipped(f"this account may not look: {error}")
    except StreamMissing as error:
        return skipped(f"{error.stream} is missing: see SK201")
    except StoreError as error:
        return bad(f"no answer: {error}")


def _finding(check: Check, seen: Seen) -> Diagnosis:
    return Diagnosis(
        code=check.code,
        name=check.name,
        result=seen.result,
        found=seen.found,
        means=check.means if seen.result in ("warn", "bad") else "",
        advice=check.advice if seen.result in ("warn", "bad") else "",
        value=seen.value,
    )
