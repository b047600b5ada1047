"""The phases of one incarnation of a saga's actor, as a table. A move that is not in it raises `IllegalTransition`.

- **opening**: nothing durable is known yet. The first write, the adoption or a look at the record is under way.
- **running**: what comes in is folded into the record and written; the durable record is performed.
- **awaiting lease**: the record intends an attempt, but the worker's lease has lapsed. Nothing may overtake that
  attempt, so nothing is folded. Once the lease is good, a look at the record shows whose the saga is.
- **held back**: the server takes no record as large as the one that follows. What came in is kept, and is folded again
  with what comes next. Nothing is performed.
- **retiring**: the saga has ended, its events are published and its children are released. The record goes into the
  archive as soon as no operation is under way.
- **over**: the actor ends after this turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from sagakit.errors import IllegalTransition

Phase = Literal["opening", "running", "awaiting lease", "held back", "retiring", "over"]
PhaseMove = Literal["durable", "lapse", "look", "hold back", "retire", "end"]

PHASE_TABLE: Mapping[Phase, Mapping[PhaseMove, Phase]] = {
    # `hold back`: the adoption is too large to be written; the saga is looked after until somebody terminates it.
    # `look`: the message was meant for the incarnation before; what is under way tells as much
    "opening": {
        "durable": "running",
        "look": "opening",
        "hold back": "held back",
        "end": "over",
    },
    "running": {
        "durable": "running",
        "lapse": "awaiting lease",
        "look": "running",
        "hold back": "held back",
        "retire": "retiring",
        "end": "over",
    },
    # no `durable`: nothing is written meanwhile. No `retire`: a saga that has ended intends no attempt
    "awaiting lease": {"look": "running", "end": "over"},
    # `retire`: a message that came after the end did not fit
    "held back": {
        "durable": "running",
        "look": "held back",
        "hold back": "held back",
        "retire": "retiring",
        "end": "over",
    },
    # a message that came after the end may be under way, and may prove not to fit
    "retiring": {
        "durable": "retiring",
        "look": "retiring",
        "hold back": "retiring",
        "retire": "retiring",
        "end": "over",
    },
    "over": {"end": "over"},
}


class PhaseOf:
    """The phase of one incarnation. Shared by its actor and the parts of it."""

    __slots__ = ("_key", "now")

    def __init__(self, key: str) -> None:
        self._key = key
        self.now: Phase = "opening"

    def move(self, move: PhaseMove) -> None:
        """Make a move of the table. Raises IllegalTransition, and then nothing has changed."""
        try:
            self.now = PHASE_TABLE[self.now][move]
        except KeyError:
            raise IllegalTransition(f"{self._key}: an actor that is {self.now} cannot make the move {move!r}") from None
