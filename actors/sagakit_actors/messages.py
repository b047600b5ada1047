"""What actors are told about other actors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from sagakit_actors.ref import Ref


M = TypeVar("M")


class Signal(NamedTuple, Generic[M]):
    """A message in the lane that is never full: see `Ref.signal`."""

    message: M


class Down(NamedTuple):
    """An incarnation of a watched actor has ended. `reason` is its exception, None if it ended in good order."""

    ref: Ref[Any]
    incarnation: int
    reason: Exception | None
