"""The proposed write of a saga, and the parts of it that are left out or kept if the server refuses it as too large.

In this order a smaller write is tried:

without callers' messages    they are answered `too large`, so that nobody from outside can stop a saga by size
halted, or cut down          as `engine.oversize` says, if that is small enough
held back                    nothing can be written: everything is kept, and is tried again with the next events
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sagakit.engine import Inbound, InputEvent, Published, Record
from sagakit.engine.verdicts import PLACES
from sagakit.system.saga.saga_messages import Ask

HEADERS = 512
"""Bytes of the headers of a message, at most."""


class Proposal(msgspec.Struct, frozen=True):
    """A write of `size` bytes: `events` have turned `base` into `record`, and the callers in `asked` wait for it."""

    base: Record
    events: Sequence[InputEvent]
    record: Record
    asked: Sequence[Ask]
    size: int


class HeldBack(NamedTuple):
    """Events, and the callers that wait for them, that cannot be written now."""

    events: Sequence[InputEvent]
    asked: Sequence[Ask]


NOTHING = HeldBack((), ())


def split(proposal: Proposal) -> tuple[HeldBack, HeldBack]:
    """Return the part of a proposal that callers and operators have sent, and all the rest."""
    if proposal.record.status == "failed":  # what has ended the saga may be a message, which must not be left out
        return HeldBack([], []), HeldBack(proposal.events, proposal.asked)
    callers = [event for event in proposal.events if _is_callers(event)]
    rest = [event for event in proposal.events if not _is_callers(event)]
    asked = [ask for ask in proposal.asked if _is_callers(ask.message)]
    waiting = [ask for ask in proposal.asked if not _is_callers(ask.message)]
    return HeldBack(callers, asked), HeldBack(rest, waiting)


def held_back(proposal: Proposal) -> HeldBack:
    """Return the part of a proposal that is tried again later, without `Published`, which each write makes anew."""
    events = [event for event in proposal.events if not isinstance(event, Published)]
    return HeldBack(events, [ask for ask in proposal.asked if not ask.reply.settled])


def most_bytes(proposal: Proposal, max_payload: int) -> int:
    """Return the bytes that a record may have: the server's limit, or half of a record that it refused all the same."""
    most = max_payload - HEADERS
    return most if most < proposal.size else proposal.size // 2


def _is_callers(event: InputEvent) -> bool:
    return isinstance(event, Inbound) and PLACES[event.kind].ring != "family"
