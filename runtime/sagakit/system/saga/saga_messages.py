"""The messages of a saga's actor.

Each class is final, so that the actor may tell them apart by `type(message) is`. A `match` calls `isinstance` for each
case that does not fit, and for these classes that is slow: it asks their metaclass.
"""

from __future__ import annotations

from typing import TypeAlias, final

import msgspec
from sagakit_actors import Reply

from sagakit.engine import AttemptEnded, CommandSent, Inbound, Loaded, Record, Unanswered
from sagakit.errors import StoreError
from sagakit.store.ports import Entry
from sagakit.system.large_values import SagaValues
from sagakit.system.turns import AskAlone

# ------------------------------------------------------------------------- from callers


@final
class Ask(msgspec.Struct, frozen=True):
    """Apply an inbound message. Answered with its verdict once that is durable."""

    message: Inbound
    reply: Reply[str]


@final
class AskStarted(msgspec.Struct, frozen=True):
    """A repeated start. Answered with the record once the saga has begun."""

    reply: Reply[Record]


@final
class AwaitOutcome(msgspec.Struct, frozen=True):
    """Answered with the terminal record once it is durable; with `or_stuck`, also with a stuck one."""

    reply: Reply[Record]
    or_stuck: bool = False


@final
class Peek(msgspec.Struct, frozen=True):
    """Answered with the last durable record."""

    reply: Reply[Record]


# ------------------------------------------ from tasks and operations that the actor has begun


@final
class Attempted(msgspec.Struct, frozen=True):
    """An attempt that this actor runs has ended."""

    ended: AttemptEnded


@final
class Settled(msgspec.Struct, frozen=True):
    """The actor's persistence operation `number` is settled."""

    number: int
    result: int | Entry | StoreError | None


@final
class ValuesLoaded(msgspec.Struct, frozen=True):
    """The large values of a record that was loaded are here; or they are `lost`, and this says how."""

    loaded: Loaded
    revision: int
    values: SagaValues | None
    lost: str = ""


@final
class ParentTold(msgspec.Struct, frozen=True):
    """The parent knows of this child's end, or will. `there` is False if there is no parent to hear it."""

    there: bool


@final
class ChildrenReleased(msgspec.Struct, frozen=True):
    """The saga has ended, its events are published, and its children, if it has any, need not wait for it any more."""


@final
class RemoteNews(msgspec.Struct, frozen=True):
    """News of attempts that are out: JetStream has the command of `sent`, or else the replies `missing` have not come.

    The inbox was looked through for those whose time is over.
    """

    sent: CommandSent | None = None
    missing: tuple[Unanswered, ...] = ()


@final
class LeaseGood(msgspec.Struct, frozen=True):
    """The worker's lease had lapsed and is good again. Another worker may have the saga."""


# ------------------------------------------------------------------- from the worker's parts


@final
class Wake(msgspec.Struct, frozen=True):
    """A turn is due. `set_for` is the time of the timer that is due, in seconds since the epoch, if it is one."""

    set_for: float | None = None


@final
class Passivate(msgspec.Struct, frozen=True):
    """The saga has been idle for `passivate_after` seconds: its actor may end, if nothing is under way."""


@final
class Compare(msgspec.Struct, frozen=True):
    """A scan that began at `at` (trio time) has found this revision under the saga's key."""

    revision: int
    at: float


@final
class RunAlone(msgspec.Struct, frozen=True):
    """The saga is a suspect, and has the worker to itself now. Answered by `DoneAlone`."""

    turn: AskAlone


@final
class AwaitQuiet(msgspec.Struct, frozen=True):
    """Answered once the saga has no attempt open, in fact or in its record."""

    reply: Reply[None]


@final
class Drain(msgspec.Struct, frozen=True):
    """The worker leaves: start nothing new, and end once no attempt is open."""


SagaMessage: TypeAlias = (
    Ask
    | AskStarted
    | AwaitOutcome
    | Peek
    | Attempted
    | Settled
    | ValuesLoaded
    | ParentTold
    | ChildrenReleased
    | RemoteNews
    | LeaseGood
    | Wake
    | Passivate
    | Compare
    | RunAlone
    | AwaitQuiet
    | Drain
)
