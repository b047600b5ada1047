"""A write that the server refuses because the record has become too large: what is to be done instead.

without callers' messages    they are answered `too large`: nobody from outside can stop a saga like this
halted, or cut down          what `engine.oversize` says, if that is small enough
held back                    nothing can be written: all stays as it is, and is tried again with what comes next
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sagakit.engine import Inbound, InputEvent, Published, Record
from sagakit.engine.verdicts import PLACES
from sagakit.system.messages import Ask

HEADERS = 512
"""Bytes of a message that its headers take at most."""


class Proposal(NamedTuple):
    """A write of `size` bytes: `events` have made `record` of `base`, and those who asked wait for it."""

    base: Record
    events: Sequence[InputEvent]
    record: Record
    asked: Sequence[Ask]
    size: int


class HeldBack(NamedTuple):
    """What came in and cannot be written."""

    events: Sequence[InputEvent]
    asked: Sequence[Ask]


def split(proposal: Proposal) -> tuple[HeldBack, HeldBack]:
    """Return what callers and operators have sent, and all the rest. A record that has failed needs all of it."""
    if proposal.record.status == "failed":
        return HeldBack([], []), HeldBack(proposal.events, proposal.asked)
    callers = [event for event in proposal.events if _is_callers(event)]
    rest = [event for event in proposal.events if not _is_callers(event)]
    asked = [ask for ask in proposal.asked if _is_callers(ask.message)]
    waiting = [ask for ask in proposal.asked if not _is_callers(ask.message)]
    return HeldBack(callers, asked), HeldBack(rest, waiting)


def held_back(proposal: Proposal) -> HeldBack:
    """Return what is to be tried again. What is published is known anew each time."""
    events = [event for event in proposal.events if not isinstance(event, Published)]
    return HeldBack(events, [ask for ask in proposal.asked if not ask.reply.settled])


def most_bytes(proposal: Proposal, max_payload: int) -> int:
    """Return how large a record may be: by what the server says, or half of what it has refused all the same."""
    most = max_payload - HEADERS
    return most if most < proposal.size else proposal.size // 2


def _is_callers(event: InputEvent) -> bool:
    return isinstance(event, Inbound) and PLACES[event.kind].ring != "family"
