"""Two accounts of NATS: one for workers, with JetStream, and one for all others, which need not be trusted.

A user of an account with JetStream can make JetStream publish an answer to any subject of that account, since NATS does
not check permissions on reply subjects. Users of another account reach JetStream through exported services: the server
answers to a subject of its own, and passes the answer on in the account that asked. The exports are the permissions of
the roles, and nothing else.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from sagakit.store.names import Names
from sagakit.store.permissions import ROLES, Grant, Role, permissions_of

INSIDE: tuple[Role, ...] = ("setup", "worker", "participant")
"""The roles of the account with JetStream. A participant acknowledges what it takes from a stream."""
OUTSIDE: tuple[Role, ...] = tuple(role for role in ROLES if role not in INSIDE)
"""The roles of the account without JetStream."""
MANY_ANSWERS = "$JS.API.CONSUMER.MSG.NEXT."
"""The head of requests for messages: each message is an answer, so that one request has many."""


class Export(msgspec.Struct, frozen=True):
    """A subject that one account lends to the other: to send requests to (`service`), or to listen to (`stream`)."""

    kind: Literal["service", "stream"]
    grant: Grant

    @property
    def has_many_answers(self) -> bool:
        """True if a request may get more than one answer."""
        return self.grant.subject.startswith(MANY_ANSWERS)


def exports_of(names: Names) -> list[Export]:
    """Return the exports of the workers' account to the other one: all that its roles may do, each subject once."""
    found: dict[tuple[str, str], Export] = {}
    for role in OUTSIDE:
        allowed = permissions_of(role, names, inbox_prefix=_OWN)
        exports = [Export("service", grant) for grant in allowed.publish]
        exports += [Export("stream", grant) for grant in allowed.subscribe if grant.subject != f"{_OWN}.>"]
        for export in exports:
            found.setdefault((export.kind, export.grant.subject), export)
    return list(found.values())


_OWN = "_INBOX"
"""A prefix of inboxes that stands for any: answers come in the account that asked, and inboxes are not exported."""
