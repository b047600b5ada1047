"""The server's time, for a participant: sagas go by it, and a machine's own clock may be an hour off. Without trio."""

from __future__ import annotations

from math import inf

from sagakit.jetstream.answers import time_in
from sagakit.jetstream.puller import refusal
from sagakit.store.names import Names
from sagakit.store.ports import Wire

EVERY = 60.0
"""Seconds after which the server is asked again: a clock that never jumps drifts by some milliseconds meanwhile."""


class ServerTime:
    """The server's time, by its own answers. It is never behind, and ahead by the time of a question at most."""

    def __init__(self, wire: Wire, names: Names) -> None:
        self._wire = wire
        self._stream = f"KV_{names.meta}"
        self._offset = 0.0
        self._asked_at = -inf
        self._reconnects = -1

    async def now(self) -> float:
        """Return the time, in seconds since the epoch. Raises StoreError."""
        wire = self._wire
        if wire.now() - self._asked_at >= EVERY or wire.reconnects != self._reconnects:
            await self._ask()
        return wire.now() + self._offset

    async def _ask(self) -> None:
        asked_at, reconnects = self._wire.now(), self._wire.reconnects
        answer = await self._wire.request(f"$JS.API.STREAM.INFO.{self._stream}")
        # The server looks at its clock after it was asked, so this offset is too large by the way there, and never too
        # small. A key seems older than it is, by milliseconds: no key is worked on that is no longer kept.
        self._offset = time_in(answer, self._stream, refusal) - asked_at
        self._asked_at, self._reconnects = asked_at, reconnects
