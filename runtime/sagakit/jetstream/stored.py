"""Single looks into a stream: the next message of a subject, what consumers are owed, which subjects are there."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncGenerator
from datetime import datetime

import msgspec

from sagakit.jetstream.answers import NO_MESSAGE, ApiError
from sagakit.jetstream.link import Link


class Stored(msgspec.Struct, frozen=True):
    """A message as it is stored; `stored_at` is in seconds since the epoch by the server's clock."""

    subject: str
    position: int
    payload: bytes
    headers: bytes
    stored_at: float


class _ApiMessage(msgspec.Struct):
    seq: int
    time: datetime
    subject: str = ""
    data: str = ""
    hdrs: str = ""


class _ApiMessageAnswer(msgspec.Struct):
    message: _ApiMessage | None = None
    error: ApiError | None = None


class _SubjectsState(msgspec.Struct):
    messages: int = 0
    subjects: dict[str, int] | None = None


class _SubjectsAnswer(msgspec.Struct):
    state: _SubjectsState = msgspec.field(default_factory=_SubjectsState)
    total: int = 0
    error: ApiError | None = None


class _ConsumerLine(msgspec.Struct):
    name: str
    num_pending: int = 0
    num_ack_pending: int = 0


class _Consumers(msgspec.Struct):
    consumers: list[_ConsumerLine] | None = None
    total: int = 0
    error: ApiError | None = None


_got = msgspec.json.Decoder(_ApiMessageAnswer)
_stream = msgspec.json.Decoder(_SubjectsAnswer)
_consumers = msgspec.json.Decoder(_Consumers)


class StreamReader:
    """Looks into one stream. All methods raise Unavailable, Ambiguous, NotPermitted or Refused."""

    def __init__(self, link: Link, stream: str) -> None:
        self._link = link
        self._stream = stream

    async def next(self, subject: str, *, after: int = 0) -> Stored | None:
        """Return the first message of a subject whose sequence is above `after`, as the leader has it."""
        request = msgspec.json.encode({"next_by_subj": subject, "seq": after + 1})
        answer = _got.decode(await self._link.request(f"$JS.API.STREAM.MSG.GET.{self._stream}", request))
        self._check(answer.error, NO_MESSAGE)
        found = answer.message
        if found is None:
            return None
        payload, headers = b64decode(found.data), b64decode(found.hdrs)
        return Stored(found.subject, found.seq, payload, headers, found.time.timestamp())

    async def count(self) -> int:
        """Return how many messages there are."""
        answer = _stream.decode(await self._link.request(f"$JS.API.STREAM.INFO.{self._stream}", b""))
        self._check(answer.error)
        return answer.state.messages

    async def consumers(self) -> dict[str, int]:
        """Return the consumers by name, each with the messages that it has not seen acknowledged."""
        found: dict[str, int] = {}
        while True:
            request = msgspec.json.encode({"offset": len(found)})
            answer = _consumers.decode(await self._link.request(f"$JS.API.CONSUMER.LIST.{self._stream}", request))
            self._check(answer.error)
            page = answer.consumers or []
            found |= {one.name: one.num_pending + one.num_ack_pending for one in page}
            if not page or len(found) >= answer.total:
                return found

    async def subjects(self, pattern: str = ">") -> AsyncGenerator[tuple[str, int]]:
        """Yield the subjects of a pattern of which there are messages, each with their number."""
        offset = 0
        while True:
            request = msgspec.json.encode({"subjects_filter": pattern, "offset": offset})
            answer = _stream.decode(await self._link.request(f"$JS.API.STREAM.INFO.{self._stream}", request))
            self._check(answer.error)
            page = answer.state.subjects or {}
            for found in page.items():
                yield found
            offset += len(page)
            if not page or offset >= answer.total:
                return

    def _check(self, error: ApiError | None, *allowed: int) -> None:
        if error is not None and error.err_code not in allowed:
            raise self._link.refused(error, self._stream)
