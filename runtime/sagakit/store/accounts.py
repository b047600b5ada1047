"""Two accounts of NATS: one for workers, with JetStream, and one for everybody else, who need not be trusted.

Whoever is in an account with JetStream may have it publish an answer to any subject of the account, since NATS checks
no permission on a reply subject. From another account JetStream is reached through services that are exported: the
server answers to a subject of its own and hands the answer on in the account that asked. What is exported is what the
permissions of the roles list, and nothing else.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from sagakit.store.names import Names
from sagakit.store.permissions import ROLES, Grant, Role, permissions_of

INSIDE: tuple[Role, ...] = ("setup", "worker")
"""The roles of the account with JetStream."""
OUTSIDE: tuple[Role, ...] = tuple(role for role in ROLES if role not in INSIDE)
"""The roles of the other one."""
MANY_ANSWERS = "$JS.API.CONSUMER.MSG.NEXT."
"""A request for messages is answered by each of them."""


class Export(msgspec.Struct, frozen=True):
    """A subject that one account lends to the other: to send requests to (`service`), or to listen to (`stream`)."""

    kind: Literal["service", "stream"]
    grant: Grant

    @property
    def has_many_answers(self) -> bool:
        """Return whether a request may get more than one answer."""
        return self.grant.subject.startswith(MANY_ANSWERS)


def exports_of(names: Names) -> list[Export]:
    """Return what the account of the workers exports to the other one: all that its roles may do, each subject once."""
    found: dict[tuple[str, str], Export] = {}
    for role in OUTSIDE:
        allowed = permissions_of(role, names, inbox_prefix=_OWN)
        exports = [Export("service", grant) for grant in allowed.publish]
        exports += [Export("stream", grant) for grant in allowed.subscribe if grant.subject != f"{_OWN}.>"]
        for export in exports:
            found.setdefault((export.kind, export.grant.subject), export)
    return list(found.values())


_OWN = "_INBOX"
"""Answers come where they were asked for: the subject of an inbox is not exported."""
