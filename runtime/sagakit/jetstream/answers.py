"""The meaning of the server's answers: which error is whose fault."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

import msgspec

from sagakit.errors import Conflict, Refused, StoreError, StoreFull, StreamMissing, TooLarge, Unavailable
from sagakit.store.ports import Done

WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
STORAGE_FULL = frozenset({10002, 10023, 10028, 10047, 10077, 10110, 10122})
MESSAGE_TOO_LARGE = frozenset({10054})
NO_MESSAGE = 10037
NO_STREAM = 10059
AWAY = frozenset({10008, 10009, 10076, 10158, 10167})
"""JetStream not available now: no leader, starting up, temporarily offline, its answer to the same message under way,
too many requests."""


class ApiError(msgspec.Struct, frozen=True):
    """The `error` of an answer."""

    code: int = 0
    err_code: int = 0
    description: str = ""


Refusing: TypeAlias = Callable[[ApiError, str], StoreError]
"""Returns the error of a request about a stream, and tells of a stream that is missing."""


def to_error(error: ApiError, *, key: str, expected: int | None, stream: str = "") -> StoreError:
    """Return the error of a write or a read, by whose fault it is. `stream` is the stream that was asked, if known."""
    if error.err_code in WRONG_LAST_SEQUENCE and expected is not None:
        return Conflict(key, expected)
    if error.err_code in MESSAGE_TOO_LARGE:
        return TooLarge(f"{key}: {error.description}")
    if error.err_code in STORAGE_FULL or "maximum bytes exceeded" in error.description:
        return StoreFull(
            f"{key}: the server is full ({error.description}): raise max_bytes or the account's limit, or free space"
        )
    if error.err_code in AWAY or error.code == 503:
        return Unavailable(f"{key}: {error.description}")
    if error.err_code == NO_STREAM and stream:
        return StreamMissing(error.err_code, error.description, stream)
    return Refused(error.err_code, error.description)


class PubAck(msgspec.Struct, frozen=True):
    """The answer to a publish, or to an API request of which only success matters."""

    seq: int = 0
    duplicate: bool = False
    """True if the stream has a message with the same id, and has dropped this one."""
    error: ApiError | None = None


class StreamTime(msgspec.Struct, frozen=True):
    """The time in an answer about a stream, by the clock of the stream's leader."""

    ts: datetime | None = None
    error: ApiError | None = None


_ack = msgspec.json.Decoder(PubAck)
_time = msgspec.json.Decoder(StreamTime)


def time_in(answer: bytes, stream: str, refused: Refusing) -> float:
    """Return the server's time in its answer about a stream, in seconds since the epoch. Raises StoreError."""
    found = _time.decode(answer)
    if found.error is not None:
        raise refused(found.error, stream)
    if found.ts is None:
        raise Refused(0, f"the server does not say what time it is: its answer about {stream} has no `ts`")
    return found.ts.timestamp()


def decode_ack(answer: bytes, key: str, expected: int | None) -> int | StoreError:
    """Return the sequence that was acknowledged, or what went wrong."""
    ack = _ack.decode(answer)
    return ack.seq if ack.error is None else to_error(ack.error, key=key, expected=expected)


def take_ack(key: str, expected: int | None, done: Done, answer: bytes | StoreError) -> None:
    """Tell `done` what became of a publish."""
    done(decode_ack(answer, key, expected) if isinstance(answer, bytes) else answer)
