"""The signs of life of a command that is being worked on: heartbeats, and how far the work has come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, TypeAlias

import msgspec

from sagakit.engine.record import NOTHING
from sagakit.engine.remote import MAX_PROGRESS
from sagakit.errors import InvalidInput
from sagakit.messages.step_command import StepCommand

TICK = 1.0
"""Seconds between two looks at what is to be told. So a handler that tells more often tells its last word once."""
PROGRESS_EVERY = 5.0
"""Seconds between two messages that say how far the work has come. Each of them costs the saga a write."""
PER_HEARTBEAT = 3
"""Signs of life in the time after which silence counts: one that is lost does no harm."""


class CommandHeartbeat(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="heartbeat"
):
    """A sign of life. `key`, `run` and `attempt` are those of the command; `payload` says how far the work has come."""

    key: str
    run: str
    attempt: int
    payload: msgspec.Raw = NOTHING


Seal: TypeAlias = Callable[[msgspec.Raw], msgspec.Raw]


def _plain(value: msgspec.Raw) -> msgspec.Raw:
    return value


class WorkSigns:
    """The signs of life of one command in hand. `beat` and `progress` may be called from any thread.

    `began` is when the work began, on the clock that `due` gets. `seal` makes of progress what is sent of it.
    """

    def __init__(self, command: StepCommand, began: float, seal: Seal = _plain) -> None:
        self.reply_to: str = command.reply_to
        self._heartbeat = CommandHeartbeat(key=command.key, run=command.run, attempt=command.attempt)
        self._every = None if command.heartbeat is None else command.heartbeat / PER_HEARTBEAT
        self._seal = seal
        self._told = began
        self._progressed = -inf
        self._wanted = False
        self._progress: deque[msgspec.Raw] = deque(maxlen=1)

    def beat(self) -> None:
        """Have a heartbeat sent soon, if the command asks for heartbeats."""
        self._wanted = self._every is not None

    def progress(self, value: Any) -> None:
        """Have it told soon how far the work has come; the last value counts. Raises InvalidInput."""
        self._progress.append(self._seal(_encoded(value)))

    def due(self, now: float) -> bytes | None:
        """Return the message that is to be sent now, if any."""
        progress = self._latest() if now - self._progressed >= PROGRESS_EVERY else NOTHING
        regular = self._every is not None and now - self._told >= self._every
        if not (regular or self._wanted or progress is not NOTHING):
            return None
        self._wanted, self._told = False, now
        if progress is not NOTHING:
            self._progressed = now
        return msgspec.json.encode(msgspec.structs.replace(self._heartbeat, payload=progress))

    def _latest(self) -> msgspec.Raw:
        try:
            return self._progress.popleft()
        except IndexError:
            return NOTHING


def _encoded(value: Any) -> msgspec.Raw:
    try:
        data = msgspec.json.encode(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"progress {value!r:.100} cannot be written as JSON: {error}") from None
    if len(data) > MAX_PROGRESS:
        raise InvalidInput(
            f"progress has {len(data):,} bytes as JSON, and the limit is {MAX_PROGRESS:,}: tell a number or a few "
            "words, and keep the rest elsewhere"
        )
    return msgspec.Raw(data)
