"""The server's time, for a participant: sagas go by it, and a machine's own clock may be an hour off. Without trio."""

from __future__ import annotations

from datetime import datetime
from math import inf

import msgspec

from sagakit.errors import Refused
from sagakit.jetstream.answers import ApiError, to_error
from sagakit.store.names import Names
from sagakit.store.ports import Wire

EVERY = 60.0
"""Seconds after which the server is asked again: a clock that never jumps drifts by some milliseconds meanwhile."""


class _Info(msgspec.Struct):
    ts: datetime | None = None
    error: ApiError | None = None


_info = msgspec.json.Decoder(_Info)


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
        answer = _info.decode(await self._wire.request(f"$JS.API.STREAM.INFO.{self._stream}"))
        if answer.error is not None:
            raise to_error(answer.error, key=self._stream, expected=None)
        if answer.ts is None:
            raise Refused(0, f"the server does not say what time it is: its answer about {self._stream} has no `ts`")
        self._offset = answer.ts.timestamp() - asked_at
        self._asked_at, self._reconnects = asked_at, reconnects
