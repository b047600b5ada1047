"""Notices that an actor gets about another actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sagakit_actors.ref import Ref


class Down(NamedTuple):
    """An incarnation of a watched actor has ended. `reason` is its exception, None if it ended in good order."""

    ref: Ref[Any]
    incarnation: int
    reason: Exception | None
