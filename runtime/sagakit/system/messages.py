"""What the actors of the system say to each other."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
import trio
from sagakit_actors import Ref, Reply

from sagakit.engine import Ended, Inbound, OutboxEvent, Record
from sagakit.store.ports import Entry

Bucket = Literal["state", "archive"]

# ------------------------------------------------------------ to the persistence actor


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """Write one value by compare-and-set and settle what is ambiguous; the reply is the revision.

    The bytes never change between resends. A create (`expected` 0) that is still undecided at `not_after` (trio time)
    fails with Ambiguous instead of being sent again. Fails with Conflict (a create met something else), Fenced,
    TooLarge, StoreFull or Refused.
    """

    key: str
    value: bytes
    expected: int
    reply: Reply[int]
    ttl: float | None = None
    not_after: float | None = None


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """Put a finished record into the archive, unless a version at least as high stands there."""

    key: str
    value: bytes
    run: str
    version: int
    reply: Reply[int]


class Load(msgspec.Struct, frozen=True):
    """Read what stands under a live key, once none of our own writes to it is in flight."""

    key: str
    reply: Reply[Entry | None]


PersistenceMessage: TypeAlias = Put | Archive | Load

# -------------------------------------------------------------- to the publisher actor


class Receipt:
    """How far one saga's events are in the log. Written by the publisher, read by the saga's actor."""

    __slots__ = ("_reached", "_target", "confirmed", "lost")

    def __init__(self, *, confirmed: int = 0) -> None:
        self.confirmed = confirmed
        self.lost = False
        self._target = 0
        self._reached: trio.Event | None = None

    def confirm(self, seq: int) -> None:
        """Events up to `seq` are in the log."""
        self.confirmed = seq
        if self._reached is not None and seq >= self._target:
            self._reached.set()

    def lose(self) -> None:
        """The publisher is gone: hand in again."""
        self.lost = True
        if self._reached is not None:
            self._reached.set()

    async def reached(self, seq: int) -> bool:
        """Wait until `seq` is in the log; False if the publisher was lost before."""
        while self.confirmed < seq and not self.lost:
            self._target, self._reached = seq, trio.Event()
            await self._reached.wait()
        return self.confirmed >= seq


class PublishEvents(msgspec.Struct, frozen=True):
    """Append these events, in order, each once the one before is acknowledged. What is queued already is skipped."""

    key: str
    saga_type: str
    run: str
    events: tuple[OutboxEvent, ...]
    receipt: Receipt


# ----------------------------------------------------------------- to the timers actor


class SetTimer(msgspec.Struct, frozen=True):
    """Tell `Wake` to `ref` at `at` (seconds since the epoch)."""

    ref: Ref[SagaMessage]
    at: float


# ------------------------------------------------------------------- to a saga's actor


class Begin(msgspec.Struct, frozen=True):
    """Write the first record (or the adoption) and go. Answered once that is durable, or with why not."""

    reply: Reply[None]


class Started(msgspec.Struct, frozen=True):
    """Answered with the record as soon as the saga has begun: for a repeated start."""

    reply: Reply[Record]


class Attempted(msgspec.Struct, frozen=True):
    """An attempt that this actor runs has ended."""

    ended: Ended


class Wake(msgspec.Struct, frozen=True):
    """A timer is due."""


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


class Finished(msgspec.Struct, frozen=True):
    """The end marker stands, or the record is another's: the actor may go."""


class Drain(msgspec.Struct, frozen=True):
    """Start nothing new; stop once no attempt is open."""


SagaMessage: TypeAlias = Begin | Started | Attempted | Wake | Ask | AwaitOutcome | Peek | Finished | Drain
