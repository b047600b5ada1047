"""The puller: a consumer of one stream, made for one look, read a page at a time, and removed again.

It awaits a `Wire` only, so it serves trio and asyncio programs. Each message is parsed once, and nothing is made of it
but what a look wants: see docs/decisions/0002-frames.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from sagakit.errors import StoreError, Unavailable
from sagakit.jetstream.answers import ApiError, Refusing, to_error
from sagakit.store.ports import Subscription, Wire, WireMessage

PAGE = 1000
"""Messages asked for at once."""
PAGE_BYTES = 4 * 2**20
"""Bytes asked for at once, unless one message may have more: beyond 64 MB the server takes a client for too slow, and
hangs up."""
EXPIRES = 2.0
"""Seconds that the server keeps a request for a page: then it says that the page will not become complete."""
SILENCE = 3.0
"""Seconds without any message after which a page that is not complete breaks the look off."""
ASK_AGAIN = 0.05
"""Seconds until a page is asked for again, if nobody has heard of the consumer yet."""
UNUSED = 30.0
"""Seconds without use after which the server removes a consumer by itself."""
END = 2**63
"""A sequence that no message has: what is read up to it is read to the end of the stream."""
_UNHEARD = "NATS/1.0 503"
"""Said of a request that met nobody: where the consumer lives it may still be about to begin."""
_GIVEN_UP = (b"NATS/1.0 404", b"NATS/1.0 408", b"NATS/1.0 409 Message Size Exceeds MaxBytes")
_COMPLETE = b"NATS/1.0 409 Batch Completed"
"""Said of a page that has come as a whole."""


class Found(NamedTuple):
    """A message of the stream; `headers` is the whole block, `at` is in seconds since the epoch."""

    subject: str
    sequence: int
    at: float
    headers: bytes
    payload: bytes


class StreamState(msgspec.Struct):
    """The state of a stream: its first message, its last sequence, and how many messages there are."""

    first_seq: int = 0
    first_ts: datetime | None = None
    last_seq: int = 0
    messages: int = 0
    subjects: dict[str, int] | None = None


class _CountsAnswer(msgspec.Struct):
    """The answer about a stream, or about a consumer."""

    state: StreamState = msgspec.field(default_factory=StreamState)
    num_pending: int = 0
    total: int = 0
    error: ApiError | None = None


_info = msgspec.json.Decoder(_CountsAnswer)


def refusal(error: ApiError, stream: str) -> StoreError:
    """Return the error for what the server says of a stream."""
    return to_error(error, key=stream, expected=None, stream=stream)


async def ask(wire: Wire, stream: str, call: str, request: bytes, refused: Refusing) -> _CountsAnswer:
    """Ask about a stream or a consumer of it. Raises StoreError."""
    answer = _info.decode(await wire.request(f"$JS.API.{call}", request))
    if answer.error is not None:
        raise refused(answer.error, stream)
    return answer


async def state_of(wire: Wire, stream: str, refused: Refusing) -> StreamState:
    """Return the state of a stream. Raises StoreError."""
    return (await ask(wire, stream, f"STREAM.INFO.{stream}", b"", refused)).state


async def subjects_of(wire: Wire, stream: str, pattern: str, refused: Refusing) -> dict[str, int]:
    """Return the subjects that fit a pattern, each with its number of messages. Raises StoreError."""
    found: dict[str, int] = {}
    while True:
        request = msgspec.json.encode({"subjects_filter": pattern, "offset": len(found)})
        answer = await ask(wire, stream, f"STREAM.INFO.{stream}", request, refused)
        page = answer.state.subjects or {}
        found |= page
        if not page or len(found) >= answer.total:
            return found


class Puller:
    """Reads consumers of one stream, one after the other. `subjects` are those to read; none at all means every one."""

    def __init__(self, wire: Wire, stream: str, subjects: Sequence[str], refused: Refusing) -> None:
        self._wire = wire
        self._stream = stream
        self._subjects = subjects
        self._refused = refused
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._consumer = ""
        self._upto = END
        self._rest = END
        self._left = 0
        self._owed = 0
        self._asked = False
        self._heard = 0
        self._page: list[Found] = []
        self._ended = wire.event()
        """The page that was asked for is complete, or will not be."""
        self._broken = ""

    async def open(self) -> None:
        """Prepare to hear messages. Raises Unavailable, NotPermitted."""
        self._inbox = self._wire.new_inbox()
        self._subscription = await self._wire.hear(self._inbox, self._take)

    async def close(self) -> None:
        """Remove the consumer, and hear no more."""
        self.remove()
        if self._subscription is not None:
            await self._subscription.end()

    def remove(self) -> None:
        """Remove the consumer. Nobody waits for that: after a while without use it goes by itself."""
        if self._consumer:
            call = f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._consumer}"
            self._wire.tell(call, b"", reply=self._wire.new_inbox())
            self._consumer = ""

    async def make(self, **start: object) -> int:
        """Make a consumer in place of the one before, and return how many messages it has to give out.

        `start` says where it starts, in the words of the consumer's configuration. Raises StoreError.
        """
        self.remove()
        name = f"scan-{self._wire.new_inbox().rpartition('.')[2]}"
        config: dict[str, object] = {
            "name": name,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(UNUSED * 1e9),
        }
        call = f"CONSUMER.CREATE.{self._stream}.{name}"
        if len(self._subjects) == 1:
            config["filter_subject"] = self._subjects[0]
            call += f".{self._subjects[0]}"
        elif self._subjects:
            config["filter_subjects"] = list(self._subjects)
        request = msgspec.json.encode({"stream_name": self._stream, "config": config | start})
        made = await ask(self._wire, self._stream, call, request, self._refused)
        self._consumer = name
        return made.num_pending

    # --------------------------------------------------------------- pages

    def begin(self, left: int, *, upto: int = END, expected: int = END) -> None:
        """Ask the consumer for its first page. Of the `left` messages those up to `upto` are wanted.

        `expected` is about how many these are, so that not too many others come.
        """
        self._upto, self._rest = upto, expected
        self._want(left)

    async def next(self) -> list[Found]:
        """Return the page that was asked for; it is empty at the end. The next one is on its way meanwhile.

        Raises Unavailable.
        """
        if not self._asked:
            return []
        silent = await self._falls_silent()
        patience = self._wire.now() + SILENCE
        while self._broken.startswith(_UNHEARD) and self._wire.now() < patience:
            await self._wire.sleep(ASK_AGAIN)
            self._want(self._left)
            silent = await self._falls_silent()
        if silent or self._broken:
            raise Unavailable(f"{self._stream}: the scan was broken off: {self._broken or 'no answer'}")
        page, self._page = self._page, []
        self._want(self._left if page else 0)  # what an empty page lacks was removed, or replaced, meanwhile
        return page

    async def _falls_silent(self) -> bool:
        """Wait for the end of the page. Return True if nothing has come for a while."""
        while not self._ended.is_set():
            heard = self._heard
            if not await self._wire.within(SILENCE, self._ended) and heard == self._heard:
                return True
        return False

    def _want(self, left: int) -> None:
        """Ask for a page, if one is left."""
        self._left, self._owed, self._asked = left, min(PAGE, left, max(1, self._rest)), left > 0
        self._ended = self._wire.event()
        self._broken = ""
        if self._asked:
            page_bytes = max(PAGE_BYTES, 2 * self._wire.max_payload)
            wanted = {"batch": self._owed, "max_bytes": page_bytes, "expires": int(EXPIRES * 1e9)}
            request = msgspec.json.encode(wanted)
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
            self._wire.tell(subject, request, reply=self._inbox)

    def _take(self, message: WireMessage) -> None:
        self._heard += 1
        if not message.reply:  # no message, but the word that the request has come to its end
            if message.headers.startswith(_COMPLETE):
                return
            if not message.headers.startswith(_GIVEN_UP):
                self._broken = message.headers.partition(b"\r\n")[0].decode(errors="replace")
            self._ended.set()
            return
        if not message.reply.startswith("$JS.ACK."):
            return  # anybody may publish to an inbox
        sequence, at, left = _position(message.reply)
        self._left = left if sequence < self._upto else 0
        self._owed -= 1
        self._rest -= 1
        if sequence <= self._upto:
            self._page.append(Found(message.subject, sequence, at, message.headers, message.payload))
        if self._owed <= 0 or not self._left:
            self._ended.set()


def _position(reply: str) -> tuple[int, float, int]:
    """Return a message's sequence, its time, and how many are left, from the subject for its acknowledgment."""
    words = reply.split(".")
    at = 5 if len(words) == 9 else 7  # newer ones name a domain and an account
    return int(words[at]), int(words[at + 2]) / 1e9, int(words[at + 3])
