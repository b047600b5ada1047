"""The verdicts on the messages of a saga, kept by kind and id as long as the record lives.

They are kept in two places of the record. `inbound` has the last verdicts in words, for people; it consists of rings,
and each ring is bounded, so that one sort of message does not push out the others. `applied` has all of them, with one
entry of fixed width for each: 11 characters of a hash over kind and id, and one character for the verdict. When its
places are used up, further messages are refused: an applied message is never forgotten, so that none is applied twice.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from sagakit.engine.inputs import Inbound, InboundKind
from sagakit.engine.record import Record, Verdict
from sagakit.engine.turn import Limits

VerdictText = Literal[
    "accepted", "waiting", "late", "held", "already", "too late", "ended", "nothing to do", "unknown", "too large",
    "full", "other run",
]  # fmt: skip
"""The verdicts. `waiting`: kept until the pivot's outcome is known, or until an operator lets the saga go on. `late`:
recorded, for a step that was given up. `held`: a child has ended, and its parent cannot read the output, so that a
person must say what to do. `unknown`: there is no such node, or it has not begun. `full`: the saga has no place left
for messages of this kind. `other run`: the message is for another life of the id."""

Ring: TypeAlias = Literal["callers", "operators", "family"]


class Place(NamedTuple):
    """The place of verdicts of one kind: their ring, and how many reserves beyond `Limits.ids` they may use."""

    ring: Ring
    reserves: int


PLACES: Mapping[InboundKind, Place] = {
    "signal": Place("callers", 0),
    "report": Place("callers", 0),
    "reply": Place("family", 3),
    "heartbeat": Place("family", 3),
    "cancel": Place("callers", 1),
    "retry": Place("operators", 2),
    "mark-undone": Place("operators", 2),
    "complete-step": Place("operators", 2),
    "compensate": Place("operators", 2),
    "child-ended": Place("family", 3),
    "reverse": Place("family", 3),
    "release": Place("family", 3),
    "terminate": Place("operators", 4),
}
"""The place of each kind; a reply and a heartbeat take none, and their ring only says that they are not left out for
want of room.
Callers cannot use up the places that operators need, nor operators those of parents and children. A terminate
always has a place: it is applied at most once, and nothing else may use the last reserve."""

CODES: Mapping[str, str] = {
    "accepted": "a",
    "waiting": "w",
    "late": "l",
    "held": "h",
    "already": "y",
    "too late": "t",
    "ended": "e",
    "nothing to do": "n",
    "unknown": "u",
    "too large": "z",
    "refused": "r",
}
"""The character for each verdict in `applied`. Only the ring keeps the reason why a message was refused."""

_TEXTS = {code: text for text, code in CODES.items()}
_HASH = 11
WIDTH = _HASH + 1
"""The number of characters of one entry of `applied`."""
_encoder = msgspec.json.Encoder()


def known_verdict(record: Record, message: Inbound) -> str | None:
    """Return the verdict that the record has on a message, or `other run` if it is for another one; else None."""
    verdict = _verdict(record, message)
    return "other run" if verdict is None and message.run not in ("", record.run) else verdict


def _verdict(record: Record, message: Inbound) -> str | None:
    for known in reversed(record.inbound):
        if known.id == message.id and known.kind == message.kind:
            return known.verdict
    entry = hash_of(message)
    at = record.applied.find(entry)
    # A search through the whole text is fast, and may find the hash across the border of two entries. Such a hit does
    # not begin at a multiple of the width, and the search goes on.
    while at >= 0 and at % WIDTH:
        at = record.applied.find(entry, at + 1)
    return None if at < 0 else _TEXTS.get(record.applied[at + _HASH], "already")


def is_full(record: Record, kind: InboundKind, limits: Limits) -> bool:
    """Return True if the record has no place left for a message of this kind."""
    return len(record.applied) // WIDTH >= limits.ids + PLACES[kind].reserves * limits.reserve


def keep_verdict(record: Record, message: Inbound, verdict: str, limits: Limits) -> None:
    """Write the verdict on an applied message into a draft, and drop the oldest ones of its ring beyond the bounds."""
    record.applied += hash_of(message) + CODES[verdict.partition(":")[0]]
    record.inbound = [*record.inbound, Verdict(message.id, message.kind, verdict)]
    left, room = limits.inbound, limits.verdicts
    kept: list[Verdict] = []
    for one in reversed(record.inbound):
        if _ring(one.kind) == PLACES[message.kind].ring:
            left, room = left - 1, room - len(_encoder.encode(one)) - 1  # with the comma after it
            if left < 0 or room < 0:
                left = -1  # all older verdicts go, too, even a short one that would fit: a ring has no gaps
                continue
        kept.append(one)
    record.inbound = kept[::-1]


def note_applied(record: Record, hash: str) -> None:
    """Note in a draft that the message with this hash was accepted, as an event has told."""
    if len(hash) == _HASH:
        record.applied += hash + CODES["accepted"]


def _ring(kind: str) -> Ring:
    """Return the ring of a kind; a kind that only a newer version knows counts as a caller's."""
    place = PLACES.get(kind)  # type: ignore[call-overload]  # any text
    return "callers" if place is None else place.ring


def hash_of(message: Inbound) -> str:
    """Return 64 bits over kind and id, in 11 characters.

    By the birthday bound, n messages of one saga share a hash with a probability of n**2 / 2**65. That is 10**-13 for
    the 2,000 messages of a full saga.
    """
    return _hash_of(message.kind, message.id)


@lru_cache(maxsize=1024)  # a message is looked up several times, and a job sends thousands of sagas the same id
def _hash_of(kind: str, id: str) -> str:
    digest = sha256(f"{kind}/{id}".encode()).digest()
    return urlsafe_b64encode(digest[:8]).decode().rstrip("=")
