"""The port `StoreReading` over a `Wire`: for trio programs over their link, for asyncio programs over nats-py alone."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial

import msgspec

from sagakit.errors import Refused, StreamMissing, Unavailable
from sagakit.jetstream.answers import NO_MESSAGE, ApiError, Refusing, time_in
from sagakit.jetstream.puller import Found, Puller, refusal, state_of, subjects_of
from sagakit.jetstream.scan import EVERYTHING, Scan, broken_off, stored_since, window
from sagakit.store.names import Names
from sagakit.store.ports import Extent, StoredValue, Window, Wire
from sagakit.store.ports.reading_port import Patterns

AT_ONCE = 500
"""Number of keys that are asked for at the same time."""
is_deletion: Callable[[bytes], re.Match[bytes] | None] = re.compile(rb"\r\nKV-Operation:").search
"""The look for the header of a delete marker in a block of headers."""


class StoredMessage(msgspec.Struct, frozen=True):
    """A message in the answer of a leader: `data` and `hdrs` are base64, `time` is ISO 8601."""

    seq: int
    subject: str = ""
    data: str = ""
    hdrs: str = ""
    time: str = ""

    @property
    def headers(self) -> bytes:
        """The block of headers."""
        return b64decode(self.hdrs)

    @property
    def value(self) -> bytes:
        """The payload."""
        return b64decode(self.data)

    @property
    def at(self) -> float:
        """The time at which the server stored it, in seconds since the epoch."""
        return datetime.fromisoformat(self.time).timestamp()


class _MessageAnswer(msgspec.Struct, frozen=True):
    message: StoredMessage | None = None
    error: ApiError | None = None


_got = msgspec.json.Decoder(_MessageAnswer)


def last_request(subject: str) -> bytes:
    """Return the request for the last message of a subject."""
    return msgspec.json.encode({"last_by_subj": subject})


def last_message(answer: bytes, key: str, stream: str, refused: Refusing) -> StoredMessage | None:
    """Return the message in an answer of a leader; None if there is none. Raises StoreError."""
    got = _got.decode(answer)
    if got.error is not None:
        if got.error.err_code == NO_MESSAGE:
            return None
        raise refused(got.error, stream)
    if got.message is None:
        raise Unavailable(f"{key}: the server's answer has neither a message nor an error")
    return got.message


class WireStream:
    """A stream that is read; implements the port `StreamReading`. `head` begins each of its subjects."""

    def __init__(self, wire: Wire, stream: str, head: str, refused: Refusing) -> None:
        self._wire = wire
        self._stream = stream
        self._head = head
        self._refused = refused

    def _subjects(self, patterns: Patterns) -> list[str]:
        return [self._head + pattern for pattern in patterns]

    def _values(self, found: Sequence[Found]) -> list[StoredValue]:
        skip = len(self._head)
        return [
            StoredValue(one.subject[skip:], one.payload, one.sequence, one.at)
            for one in found
            if not (one.headers and is_deletion(one.headers))
        ]

    async def window(self, patterns: Patterns, *, upto: int | None, want: int) -> Window:
        """Return about `want` values, newest first."""
        part = await window(
            self._wire, self._stream, self._subjects(patterns), upto=upto, want=want, refused=self._refused
        )
        return Window(self._values(part.found)[::-1], part.below)

    async def values(
        self, patterns: Patterns, *, after: int = 0, since: float = 0.0
    ) -> AsyncGenerator[Sequence[StoredValue]]:
        """Yield all values, oldest first, a page at a time."""
        scan = Scan(
            self._wire,
            self._stream,
            self._subjects(patterns),
            after=after,
            follows=True,
            refused=self._refused,
            start=stored_since(since) if since else EVERYTHING,
        )
        async with aclosing(scan.pages()) as pages:
            async for page in pages:
                yield self._values(page)

    async def get(self, key: str) -> StoredValue | None:
        """Return the value of a key."""
        subject = self._head + key
        answer = await self._wire.request(f"$JS.API.STREAM.MSG.GET.{self._stream}", last_request(subject))
        found = last_message(answer, key, self._stream, self._refused)
        if found is None or is_deletion(found.headers):
            return None
        return self._value(key, found)

    async def get_each(self, keys: Sequence[str]) -> Sequence[StoredValue | None]:
        """Return the values of many keys."""
        found: dict[str, StoredValue | None] = {}

        async def get(key: str) -> None:
            found[key] = await self.get(key)

        await self._together([partial(get, key) for key in keys])
        return [found[key] for key in keys]

    async def _together(self, calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
        for start in range(0, len(calls), AT_ONCE):
            await self._wire.together(*calls[start : start + AT_ONCE])

    async def get_at(self, sequences: Sequence[int]) -> Sequence[StoredValue]:
        """Return the messages with these sequences."""
        found: dict[int, StoredValue] = {}

        async def get(sequence: int) -> None:
            request = msgspec.json.encode({"seq": sequence})
            answer = await self._wire.request(f"$JS.API.STREAM.MSG.GET.{self._stream}", request)
            message = last_message(answer, str(sequence), self._stream, self._refused)
            if message is not None:
                found[sequence] = self._value(message.subject[len(self._head) :], message)

        await self._together([partial(get, sequence) for sequence in sequences])
        return [found[sequence] for sequence in sequences if sequence in found]

    def _value(self, key: str, message: StoredMessage) -> StoredValue:
        return StoredValue(key, message.value, message.seq, message.at)

    async def extent(self) -> Extent:
        """Return the extent of the stream."""
        state = await state_of(self._wire, self._stream, self._refused)
        began = 0.0 if state.first_ts is None or not state.messages else state.first_ts.timestamp()
        span = state.last_seq - state.first_seq + 1
        return Extent(state.messages, began, state.messages == state.last_seq, 0 < state.messages < span)

    async def counts(self, patterns: Patterns, *, since: float = 0.0) -> Sequence[int]:
        """Return how many messages fit each pattern."""
        return [await self._count(pattern, since) for pattern in patterns]

    async def _count(self, pattern: str, since: float) -> int:
        puller = Puller(self._wire, self._stream, self._subjects([pattern]), self._refused)
        try:
            return await puller.make(**stored_since(since) if since else {})
        except StreamMissing:
            raise
        except Refused as error:  # such as a consumer that a busy server has not made
            raise broken_off(self._stream, error) from error
        finally:
            puller.remove()

    async def subjects(self, pattern: str) -> Mapping[str, int]:
        """Return the subjects that fit a pattern, each with its number of messages."""
        found = await subjects_of(self._wire, self._stream, self._head + pattern, self._refused)
        return {subject[len(self._head) :]: number for subject, number in found.items()}


class WireReading:
    """The streams of a store; implements the port `StoreReading`."""

    def __init__(self, wire: Wire, names: Names, refused: Refusing = refusal) -> None:
        self._wire = wire
        self._refused = refused
        self.names = names
        self.state: Sequence[WireStream] = [self._bucket(name) for name in names.state]
        self.archive: Sequence[WireStream] = [self._bucket(name) for name in names.archive]
        self.events: Sequence[WireStream] = [WireStream(wire, name, "", refused) for name in names.events]
        self.workers: WireStream = self._bucket(names.workers)
        self.values: WireStream = self._bucket(names.values)
        self.meta: WireStream = self._bucket(names.meta)

    def _bucket(self, name: str) -> WireStream:
        return WireStream(self._wire, f"KV_{name}", f"$KV.{name}.", self._refused)

    async def now(self) -> float:
        """Ask the leader of the meta bucket for its time: every role may ask that one."""
        stream = f"KV_{self.names.meta}"
        return time_in(await self._wire.request(f"$JS.API.STREAM.INFO.{stream}"), stream, self._refused)
