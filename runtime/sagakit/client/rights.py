"""The rights of an account, found out by harmless requests: nothing is stored, and nothing is removed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sagakit.errors import NotPermitted, StoreError
from sagakit.jetstream.wire import header_block
from sagakit.store.names import Names
from sagakit.store.permissions import Grant, Role, permissions_of
from sagakit.store.ports import Wire

ANSWERS_WITHIN = 2.0
"""Seconds that the server gets to refuse a request."""
_UNSTORED = header_block({"Nats-Expected-Stream": "sagakit-asks-for-its-rights"})
"""The expectation of a stream that does not exist, so that no stream stores the message."""
_NOBODY = "sagakit-asks-for-its-rights"
"""A token in the place of a wildcard, which names nothing that exists."""


async def missing_rights(wire: Wire, names: Names, role: Role) -> Sequence[Grant]:
    """Return the grants of a role that this account does not have, in the order of docs/permissions.md."""
    wanted = permissions_of(role, names, inbox_prefix="_INBOX")
    missing: set[Grant] = set()

    async def publish(grant: Grant) -> None:
        subject = _example(grant.subject)
        try:
            await wire.request(subject, b"?", headers=_UNSTORED, timeout=ANSWERS_WITHIN)
        except NotPermitted:
            missing.add(grant)
        except StoreError:  # permitted, and answered by nobody or with an error
            return

    async def hear(grant: Grant) -> None:
        try:
            subscription = await wire.hear(_example(grant.subject), lambda message: None)
        except NotPermitted:
            missing.add(grant)
        else:
            await subscription.end()

    heard = [grant for grant in wanted.subscribe if not grant.subject.startswith("_INBOX.")]  # it hears answers already
    await wire.together(
        *(partial(publish, grant) for grant in wanted.publish), *(partial(hear, grant) for grant in heard)
    )
    return [grant for grant in (*wanted.publish, *heard) if grant in missing]


def _example(subject: str) -> str:
    """Return a subject that a pattern grants, and that leads to nothing."""
    return ".".join(_NOBODY if token in ("*", ">") else token for token in subject.split("."))
