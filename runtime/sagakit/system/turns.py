"""Turns: which suspect has the worker to itself, and which is next. A small state machine, without I/O and clock.

Rules that the table encodes:

- A turn belongs to one incarnation of a suspect's actor. The request for it, one object, names it. An event about any
  other turn than the present one (a late answer, the death of an earlier incarnation) moves nothing.
- `idle`: no suspect asks. `preparing`: the gate is closed, and the open attempts of the others are awaited. `running`:
  the suspect was told, and the gate is open for it alone. `pausing`: the gate is open, and the others get as much time
  as the turn took.
- The gate is closed only while `preparing` or `running`. Both are left when the turn is over: the suspect says so, or
  has died. `preparing` is also left when the others take too long.
- When the isolation actor is lost, the suspect that runs goes on alone: an open gate would let others run at the same
  time, while its record says that it is alone. Suspects that wait ask again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec
from sagakit_actors import Ref

State = Literal["idle", "preparing", "running", "pausing"]
Event = Literal["asked", "quiet", "impatient", "over", "paused", "lost"]
"""`asked`: a suspect waits. `quiet`: no other saga has an attempt open. `impatient`: that took too long. `over`: the
present turn is over. `paused`: the others have had their time. `lost`: the isolation actor was lost and begins anew."""
Action = Literal["", "prepare", "grant", "pause", "open", "resume"]
"""The isolation actor's task after a move. `prepare`: close the gate and wait for the others. `grant`: open the gate
for the suspect, and tell it. `pause`: open the gate, and wait. `open`: open the gate. `resume`: watch the suspect that
has its turn. Empty: nothing."""

TABLE: Mapping[State, Mapping[Event, tuple[State, Action]]] = {
    "idle": {"asked": ("preparing", "prepare"), "lost": ("idle", "open")},
    "preparing": {
        "quiet": ("running", "grant"),
        "impatient": ("pausing", "pause"),
        "over": ("pausing", "pause"),
        "lost": ("idle", "open"),
    },
    "running": {"over": ("pausing", "pause"), "lost": ("running", "resume")},
    "pausing": {"paused": ("idle", ""), "lost": ("idle", "open")},
}
"""An event that a state does not have changes nothing."""


class AskAlone(msgspec.Struct, frozen=True, eq=False):
    """A suspect's request for a turn alone, sent to the isolation actor, which answers `RunAlone`.

    The request itself names the turn. The turn belongs to this incarnation of the suspect's actor.
    """

    ref: Ref[Any]
    incarnation: int


LoneTurn: TypeAlias = AskAlone


class Turns:
    """The present turn and those that wait. Each method returns the action that follows."""

    def __init__(self) -> None:
        self.state: State = "idle"
        self.turn: LoneTurn | None = None
        """The turn that is prepared or runs; None in the other states."""
        self.waiting: deque[LoneTurn] = deque()

    def asked(self, turn: LoneTurn) -> Action:
        """Take a suspect's request for a turn. It replaces the earlier requests of the same actor."""
        # those were made by incarnations that have died. If one of them has the turn, that turn is over
        self.waiting = deque(other for other in self.waiting if other.ref is not turn.ref)
        self.waiting.append(turn)
        if self.turn is not None and self.turn.ref is turn.ref:
            return self._move("over")
        return self._next()

    def quiet(self, turn: LoneTurn) -> Action:
        """Note that no saga but the suspect of this turn has an attempt open."""
        return self._move("quiet") if turn is self.turn else ""

    def impatient(self, turn: LoneTurn) -> Action:
        """Put the turn off, to the end of the line, because the open attempts of the others take too long."""
        if turn is not self.turn or self.state != "preparing":
            return ""
        self.waiting.append(turn)
        return self._move("impatient")

    def over(self, turn: LoneTurn) -> Action:
        """Note that the suspect does not need the turn any more, or has died."""
        if turn is self.turn:
            return self._move("over")
        self.waiting = deque(other for other in self.waiting if other is not turn)
        return ""

    def paused(self) -> Action:
        """Note that the others have had their time."""
        return self._move("paused") or self._next()

    def lost(self) -> Action:
        """Start from the beginning: the isolation actor was lost. Suspects that wait notice the loss, and ask again."""
        self.waiting.clear()
        return self._move("lost")

    def of(self, ref: object) -> list[LoneTurn]:
        """Return the turns that this actor has asked for and that are not over."""
        known = [*self.waiting] if self.turn is None else [self.turn, *self.waiting]
        return [turn for turn in known if turn.ref is ref]

    def _next(self) -> Action:
        return self._move("asked") if self.waiting else ""

    def _move(self, event: Event) -> Action:
        self.state, action = TABLE[self.state].get(event, (self.state, ""))
        if action == "prepare":
            self.turn = self.waiting.popleft()
        elif self.state in ("idle", "pausing"):
            self.turn = None
        return action
