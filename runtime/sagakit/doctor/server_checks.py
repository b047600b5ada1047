"""The checks of the server: release, limits and permissions of the account, fsync, clock."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sagakit.client.rights import missing_rights
from sagakit.doctor.finding import Seen, bad, graded, named, ok, skipped, span, warn
from sagakit.doctor.patient import JetStreamAccount, Patient
from sagakit.errors import NoResponders
from sagakit.jetstream.server_check import API_LEVEL, LEAST_PAYLOAD

ALMOST, FULL = 0.8, 0.95
"""Parts of a limit from which on it is almost reached, and as good as reached."""
LONG_SYNC = 600.0
"""Seconds between two fsyncs from which on the setting is most likely a mistake: nats-server's default is two minutes,
and it reads `2m` without quotes as two million seconds."""
SKEW, LONG_SKEW = 1.0, 60.0
"""Seconds by which this machine's clock may differ from the server's."""


async def connection(patient: Patient) -> Seen:
    """Say to which server there is a connection. Without one, `not_connected` makes the findings."""
    return ok(f"connected to nats-server {patient.version}")


async def server(patient: Patient) -> Seen:
    """Check the API level, and the size of messages."""
    if not await patient.has_jetstream():
        return skipped("JetStream is off: see SK103")
    level = await patient.api_level()
    if level < API_LEVEL:
        return bad(f"nats-server {patient.version} has API level {level}: sagakit needs 2.11 or newer")
    if patient.wire.max_payload < LEAST_PAYLOAD:
        return bad(
            f"the server takes messages of {patient.wire.max_payload:,} bytes (max_payload): records need "
            f"{LEAST_PAYLOAD:,}"
        )
    return ok(f"nats-server {patient.version}, API level {level}, messages of {patient.wire.max_payload:,} bytes")


async def limits(patient: Patient) -> Seen:
    """Check that the account has JetStream, and how near its limits are."""
    try:
        account = await patient.account()
    except NoResponders:
        return bad("the server has JetStream disabled: start it with `-js`, or with `jetstream {}` in its settings")
    if account.error is not None:
        return bad(f"JetStream is not enabled for this account: {account.error.description}")
    shares = dict(_shares(account))
    if not shares:
        return ok("the account has no limits", 0.0)
    most = max(shares, key=lambda text: shares[text])
    return graded(f"{most}: {shares[most]:.0%} of the limit", shares[most], warn_from=ALMOST, bad_from=FULL)


def _shares(account: JetStreamAccount) -> Iterator[tuple[str, float]]:
    """Yield the part of each limit that is used, by what is limited."""
    for tier, usage in {"": account, **account.tiers}.items():
        of = f" of tier {tier}" if tier else ""
        for used, limit, what in (
            (usage.storage, usage.limits.max_storage, "bytes"),
            (usage.streams, usage.limits.max_streams, "streams"),
            (usage.consumers, usage.limits.max_consumers, "consumers"),
        ):
            if limit > 0:
                yield f"{used:,} of {limit:,} {what}{of}", used / limit


async def fsync(patient: Patient) -> Seen:
    """Check how long the server may keep acknowledged messages in memory only."""
    found = patient.monitored
    if found is None:
        return skipped("only the monitoring port says it: give --monitor http://host:8222")
    if isinstance(found, str):
        return warn(found)
    if found.sync_interval == 0.0:
        return ok(f"{found.server} calls fsync before it acknowledges", 0.0)
    text = f"{found.server} calls fsync every {span(found.sync_interval)}, after it has acknowledged"
    return graded(text, found.sync_interval, warn_from=0.0, bad_from=LONG_SYNC)


async def clock(patient: Patient) -> Seen:
    """Compare this machine's clock with the server's."""
    asked = time.time()
    servers = await patient.now()
    answered = time.time()
    if asked - SKEW <= servers <= answered + SKEW:
        return ok("this machine's clock agrees with the server's", 0.0)
    skew = (asked + answered) / 2 - servers
    text = f"this machine's clock is {span(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the server's"
    return graded(text, abs(skew), warn_from=SKEW, bad_from=LONG_SKEW)


async def permissions(patient: Patient) -> Seen:
    """Check that this account may do all that a role needs."""
    role = patient.role
    if role is None:
        return skipped("give --role worker, client, operator, reader or setup")
    missing = [grant.subject for grant in await missing_rights(patient.wire, patient.names, role)]
    if missing:
        return bad(f"{len(missing)} permissions of role {role} are missing: {named(missing, 5)}", len(missing))
    return ok(f"this account has all permissions of role {role}", 0)
