"""What the actors of the system say to each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec
from sagakit_actors import Ref, Reply

from sagakit.engine import AttemptEnded, Inbound, OutboxEvent, Record
from sagakit.errors import StoreError
from sagakit.store.ports import Entry, Write

Bucket = Literal["state", "archive"]

Done = Callable[["int | Entry | StoreError | None"], None]
"""Called in the trio thread when an operation is settled: with its revision, its entry, or what went wrong.

Whoever hands in an operation hands it in again when the persistence actor is lost (death watch) before it called.
"""

# ------------------------------------------------------------ to the persistence actor


class Put(Write, frozen=True, kw_only=True):
    """Write one value by compare-and-set and settle what is ambiguous; `done` gets the revision.

    The bytes never change between resends. A create (`expected` 0) that was acknowledged after `not_after` (trio time)
    counts only if a `Confirm` says so. Fails with Conflict (a create met something else), Fenced, Overwritten,
    TooLarge, StoreFull or Refused, and as `Confirm`. A create ends in StoreFull at the first refusal, and so does what
    `gives_way`; other writes are tried again.
    """

    expected: int = 0
    done: Done
    not_after: float | None = None
    gives_way: bool = False


class Confirm(msgspec.Struct, frozen=True, kw_only=True):
    """Make sure that a record which was created, and not written since, may run (P10).

    `done` gets its revision. Fails with Conflict once it has given way to the end marker of another run that the
    archive has under the key, and with Undecodable (what the archive has).
    """

    key: str
    run: str
    revision: int
    done: Done


class Retire(msgspec.Struct, frozen=True, kw_only=True):
    """Put a finished record into the archive, unless this run's is there at a version at least as high; then put the
    end marker in its place. `done` gets the marker's revision; fails as `Put`. While the archive has another run's
    record under the key, both stay where they are: it waits until a person has removed that.
    """

    key: str
    value: bytes
    run: str
    version: int
    marker: bytes
    expected: int
    done: Done


class Load(msgspec.Struct, frozen=True):
    """Read what stands under a live key, once none of our own writes to it is in flight."""

    key: str
    done: Done


PersistenceMessage: TypeAlias = Put | Confirm | Retire | Load

# -------------------------------------------------------------- to the publisher actor


class Receipt:
    """How far one saga's events are in the log. Written by the publisher, read by the saga's actor."""

    __slots__ = ("_notify", "_target", "confirmed")

    def __init__(self, *, confirmed: int = 0) -> None:
        self.confirmed: int = confirmed
        self._target = 0
        self._notify: Callable[[], None] | None = None

    def confirm(self, seq: int) -> None:
        """Events up to `seq` are in the log."""
        self.confirmed = seq
        if self._notify is not None and seq >= self._target:
            self._call()

    def when_reached(self, seq: int, notify: Callable[[], None]) -> None:
        """Call `notify` once, when `seq` is in the log; at once if that is so already."""
        self._target, self._notify = seq, notify
        if self.confirmed >= seq:
            self._call()

    def _call(self) -> None:
        notify, self._notify = self._notify, None
        assert notify is not None
        notify()


class PublishEvents(msgspec.Struct, frozen=True):
    """Append these events, in order, each once the one before is acknowledged. What is queued already is skipped."""

    key: str
    saga_type: str
    run: str
    events: tuple[OutboxEvent, ...]
    receipt: Receipt


# ----------------------------------------------------------------- to the timers actor


class SetTimer(msgspec.Struct, frozen=True):
    """Tell `message` to `ref` at `at` (seconds since the epoch), if it is still there."""

    ref: Ref[SagaMessage]
    at: float
    message: Wake | Passivate


class SetAlarm(msgspec.Struct, frozen=True):
    """Wake the resting saga under `key` at `at` (seconds since the epoch)."""

    key: str
    at: float


TimersMessage: TypeAlias = SetTimer | SetAlarm

# ---------------------------------------------------------------- to the isolation actor


class AskAlone(msgspec.Struct, frozen=True, eq=False):
    """A suspect would go on if it had the worker to itself: tell it when it has.

    The request itself names the turn, which belongs to this incarnation of the suspect's actor.
    """

    ref: Ref[SagaMessage]
    incarnation: int


class DoneAlone(msgspec.Struct, frozen=True):
    """The suspect does not need this turn any more."""

    turn: AskAlone


IsolationMessage: TypeAlias = AskAlone | DoneAlone


# ------------------------------------------------------------------- to a saga's actor


class AskStarted(msgspec.Struct, frozen=True):
    """Answered with the record as soon as the saga has begun: for a repeated start."""

    reply: Reply[Record]


class Attempted(msgspec.Struct, frozen=True):
    """An attempt that this actor runs has ended."""

    ended: AttemptEnded


class Wake(msgspec.Struct, frozen=True):
    """A timer is due: the one that was set for this time, in seconds since the epoch, if any was."""

    set_for: float | None = None


class Passivate(msgspec.Struct, frozen=True):
    """Nothing has happened for a while: the actor may give way, if nothing is under way."""


class ParentTold(msgspec.Struct, frozen=True):
    """The parent knows of this child's end, or will; `there` says that it was there to hear it."""

    there: bool


class ChildrenReleased(msgspec.Struct, frozen=True):
    """The children of this saga, which has ended, need not wait for it any more."""


class Ask(msgspec.Struct, frozen=True):
    """Apply an inbound message; answered with its verdict once that is durable."""

    message: Inbound
    reply: Reply[str]


class AwaitOutcome(msgspec.Struct, frozen=True):
    """Answered with the terminal record once it is durable; with `or_stuck`, with a stuck one, too."""

    reply: Reply[Record]
    or_stuck: bool = False


class Peek(msgspec.Struct, frozen=True):
    """Answered with the last durable record."""

    reply: Reply[Record]


class Settled(msgspec.Struct, frozen=True):
    """The actor's own persistence operation `number` is settled."""

    number: int
    result: int | Entry | StoreError | None


class Compare(msgspec.Struct, frozen=True):
    """What a scan that began at `at` (trio time) has found under the saga's key has this revision."""

    revision: int
    at: float


class RunAlone(msgspec.Struct, frozen=True):
    """The saga is a suspect, and now it has the worker to itself. Answered by `DoneAlone`."""

    turn: AskAlone


class AwaitQuiet(msgspec.Struct, frozen=True):
    """Answered once the saga has no attempt open, in fact or in its record."""

    reply: Reply[None]


class LeaseGood(msgspec.Struct, frozen=True):
    """The worker's lease had lapsed and is good again: the saga may have gone to another."""


class Drain(msgspec.Struct, frozen=True):
    """Start nothing new; stop once no attempt is open."""


SagaMessage: TypeAlias = (
    AskStarted
    | Attempted
    | Wake
    | Passivate
    | ParentTold
    | ChildrenReleased
    | Ask
    | AwaitOutcome
    | Peek
    | Settled
    | Compare
    | RunAlone
    | AwaitQuiet
    | LeaseGood
    | Drain
)
