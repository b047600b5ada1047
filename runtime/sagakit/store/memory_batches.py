"""Atomic batches of the store in memory: all members are applied, or none, and a fault strikes the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from sagakit.errors import Ambiguous, StoreError
from sagakit.store.faults import Watched
from sagakit.store.gathering import BatchRefused


class Member(msgspec.Struct, frozen=True):
    """A write of a batch. `check` raises StoreError if it cannot be applied, `apply` returns the revision."""

    watched: Watched
    order: str
    check: Callable[[], None]
    apply: Callable[[], int]


def commit(members: Sequence[Member], max_payload: int) -> Sequence[int] | BatchRefused | StoreError:
    """Apply all members, and return their revisions.

    As nats-server does: what is expected is checked for all of them before anything is applied, and a key that is there
    twice refuses the batch. A full bucket is found out in the middle: what was applied before stays, without an answer.
    """
    orders = [member.order for member in members]
    if len(set(orders)) < len(orders):
        return BatchRefused("a key is in it twice")
    if any(len(member.watched.value) > max_payload for member in members):
        return BatchRefused("incomplete: a message was too large to be sent")
    try:
        for member in members:
            member.check()
    except StoreError as error:
        return BatchRefused(str(error))
    try:
        return [member.apply() for member in members]
    except StoreError as error:
        return Ambiguous(str(error))


def commit_up_to(members: Sequence[Member], key: str) -> Ambiguous:
    """Apply the members before the one of `key`, as a server whose disk fails in the middle of a commit."""
    for member in members:
        if member.watched.key == key:
            break
        try:
            member.check()
            member.apply()
        except StoreError:
            break
    return Ambiguous(f"{key}: no answer in time")
