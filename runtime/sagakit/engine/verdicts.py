"""What became of the messages of a saga: kept by kind and id for as long as the record lives.

Two places in the record. `inbound` has the last verdicts in words, for people; each ring of them is bounded, so that
one sort of message does not push the others out. `applied` has them all, one entry of fixed width for each: 11
characters of a hash over kind and id, and one for the verdict. When its places are used up, further messages are
refused: nothing that was applied is ever forgotten, and so nothing is applied twice.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Mapping
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
"""`waiting`: kept until the pivot's outcome is known, or until an operator lets the saga go on. `late`: of a step that
was given up; recorded. `held`: a child has ended, and its parent cannot read its output: a person must say what to do.
`unknown`: there is no such node, or it has not begun. `full`: the saga has no place left for messages of this kind.
`other run`: it was for another life of the id."""

Ring: TypeAlias = Literal["callers", "operators", "family"]


class Place(NamedTuple):
    """Where verdicts of one kind are kept: in words in this ring; beyond `Limits.ids` it may use so many reserves."""

    ring: Ring
    reserves: int


PLACES: Mapping[InboundKind, Place] = {
    "signal": Place("callers", 0),
    "report": Place("callers", 0),
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
"""Callers cannot use up what operators need, nor operators what parents and children need. A terminate always has a
place: it is applied once at most, and nothing else uses the last reserve."""

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
"""One character for each verdict that is kept. What was wrong with a refused message is told by its ring alone."""

_TEXTS = {code: text for text, code in CODES.items()}
_HASH = 11
WIDTH = _HASH + 1
"""Characters of one entry of `applied`."""
_encoder = msgspec.json.Encoder()


def known_verdict(record: Record, message: Inbound) -> str | None:
    """Return what the record alone tells of a message: its verdict, or that it is for another run. Else None."""
    verdict = _verdict(record, message)
    return "other run" if verdict is None and message.run not in ("", record.run) else verdict


def _verdict(record: Record, message: Inbound) -> str | None:
    for known in reversed(record.inbound):
        if known.id == message.id and known.kind == message.kind:
            return known.verdict
    entry = _hash(message)
    at = record.applied.find(entry)
    while at >= 0 and at % WIDTH:  # across two entries: not one of them
        at = record.applied.find(entry, at + 1)
    return None if at < 0 else _TEXTS.get(record.applied[at + _HASH], "already")


def is_full(record: Record, kind: InboundKind, limits: Limits) -> bool:
    """Return whether the record has no place left for a message of this kind."""
    return len(record.applied) // WIDTH >= limits.ids + PLACES[kind].reserves * limits.reserve


def keep_verdict(record: Record, message: Inbound, verdict: str, limits: Limits) -> None:
    """Write the verdict of a message that was applied into a draft."""
    record.applied += _hash(message) + CODES[verdict.partition(":")[0]]
    record.inbound = [*record.inbound, Verdict(message.id, message.kind, verdict)]
    left, room = limits.inbound, limits.verdicts
    kept: list[Verdict] = []
    for one in reversed(record.inbound):
        if _ring(one.kind) == PLACES[message.kind].ring:
            left, room = left - 1, room - len(_encoder.encode(one)) - 1
            if left < 0 or room < 0:
                left = -1  # what is older goes, too: a ring has no gaps
                continue
        kept.append(one)
    record.inbound = kept[::-1]


def _ring(kind: str) -> Ring:
    """Return the ring of a kind, which may be one that only a newer version knows."""
    place = PLACES.get(kind)  # type: ignore[call-overload]  # any text
    return "callers" if place is None else place.ring


def _hash(message: Inbound) -> str:
    """Return 64 bits over kind and id: two messages of one saga share them by mistake once in 10**12 full sagas."""
    digest = sha256(f"{message.kind}/{message.id}".encode()).digest()
    return urlsafe_b64encode(digest[:8]).decode().rstrip("=")
