"""The check of this account's permissions for a role.

Each subject that the role needs is tried with a message that nobody takes: a stream refuses it, since it names another
stream, and the API refuses it, since it is not JSON. The server's word about the permission comes before either.
"""

from __future__ import annotations

from functools import partial

from sagakit.doctor.finding import Seen, bad, named, ok, skipped
from sagakit.doctor.patient import Patient
from sagakit.errors import NotPermitted, StoreError
from sagakit.jetstream.wire import header_block
from sagakit.store.permissions import permissions_of
from sagakit.store.ports import Wire, WireMessage

TRIED = "doctor"
"""The token in place of a wildcard."""
_NO_JSON = b"{"
_NO_STREAM = header_block({"Nats-Expected-Stream": "-"})
ANSWERS_WITHIN = 1.0
"""Seconds to wait for a word; the word that a subject is not permitted comes sooner than any other."""


async def permissions(patient: Patient) -> Seen:
    """Check that this account may do all that a role needs."""
    role = patient.role
    if role is None:
        return skipped("give --role worker, client, operator, reader or setup")
    wanted = permissions_of(role, patient.names, inbox_prefix=patient.config.inbox_prefix)
    missing: list[str] = []
    publishes = (grant.subject for grant in wanted.publish)
    await patient.wire.together(*(partial(_publish, patient.wire, subject, missing) for subject in publishes))
    for grant in wanted.subscribe:
        await _subscribe(patient.wire, grant.subject, missing)
    number = len(wanted.publish) + len(wanted.subscribe)
    if missing:
        return bad(f"of {number} permissions of role {role}, {len(missing)} are missing: {named(missing, 5)}")
    return ok(f"this account has all {number} permissions of role {role}")


def _tried(subject: str) -> str:
    """Return a subject that fits the pattern of a permission."""
    return ".".join(TRIED if token in ("*", ">") else token for token in subject.split("."))


async def _publish(wire: Wire, subject: str, missing: list[str]) -> None:
    try:
        await wire.request(_tried(subject), _NO_JSON, headers=_NO_STREAM, timeout=ANSWERS_WITHIN)
    except NotPermitted:
        missing.append(f"publish {subject}")
    except StoreError:  # nobody listens, or nobody answers: it was permitted
        pass


async def _subscribe(wire: Wire, subject: str, missing: list[str]) -> None:
    def ignore(message: WireMessage) -> None:
        """Drop what comes meanwhile."""

    try:
        subscription = await wire.hear(_tried(subject), ignore)
    except NotPermitted:
        missing.append(f"subscribe {subject}")
    else:
        await subscription.end()
