"""The keys of a participant: what was done under each of them, so that it is done once.

A participant keeps a reply that settles a key: done, rejected, or gone. The key of work that was undone is burnt: its
reply is gone, and nothing is done under it any more, so that a command that comes late cannot slip in behind its undo.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from sagakit.engine.record import NOTHING


class KeptReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The reply that settles a key. `payload` is the JSON of the result, or of the detail of a refusal."""

    answer: Literal["done", "rejected", "gone"]
    payload: msgspec.Raw = NOTHING
    code: str = ""


GONE = KeptReply(answer="gone")
"""The reply that is kept of a burnt key."""


class Busy(Exception):
    """The work under a key is under way, perhaps in another process."""


DoWork: TypeAlias = Callable[[Any], Awaitable[KeptReply]]
"""A function that does the work under a key. It gets the transaction that has the keys; None where there is none."""
UndoWork: TypeAlias = Callable[[Any, KeptReply | None], Awaitable[None]]
"""A function that undoes what was done under a key: it gets the transaction, and what was kept, if anything was."""


class Keys(Protocol):
    """A store of keys. Any number of processes may use it at the same time."""

    is_atomic: bool
    """True if the work and its key are kept in one transaction: a key without an entry means that nothing was done."""
    horizon: float | None
    """Seconds for which a key is kept, at the least; None for ever."""

    async def do(self, key: str, work: DoWork) -> KeptReply:
        """Do the work under a key once, and return what is kept: now, or since it was done.

        If `work` raises, nothing is kept, and the error is raised. Raises Busy.
        """
        ...

    async def burn(self, key: str, undo: UndoWork) -> None:
        """Call `undo`, and burn the key; do nothing if it is burnt. Raises Busy, and what `undo` raises."""
        ...

    async def look(self, key: str) -> KeptReply | None:
        """Return the reply that is kept under a key; None if none is. Raises Busy."""
        ...


class MemoryKeys:
    """Keys of this process alone, for tests and trials: they are lost when it ends."""

    is_atomic = True

    def __init__(self, *, horizon: float | None = None) -> None:
        self.horizon = horizon
        self._kept: dict[str, KeptReply] = {}
        self._busy: set[str] = set()

    async def do(self, key: str, work: DoWork) -> KeptReply:
        """Do the work under a key once."""
        self._check_free(key)
        if key not in self._kept:
            self._busy.add(key)
            try:
                self._kept[key] = await work(None)
            finally:
                self._busy.remove(key)
        return self._kept[key]

    async def burn(self, key: str, undo: UndoWork) -> None:
        """Undo, and burn the key."""
        self._check_free(key)
        kept = self._kept.get(key)
        if kept == GONE:
            return
        self._busy.add(key)
        try:
            await undo(None, kept)
        finally:
            self._busy.remove(key)
        self._kept[key] = GONE

    async def look(self, key: str) -> KeptReply | None:
        """Return the reply that is kept under a key; None if none is."""
        self._check_free(key)
        return self._kept.get(key)

    def _check_free(self, key: str) -> None:
        if key in self._busy:
            raise Busy(key)
