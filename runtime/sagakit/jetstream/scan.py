"""The scan of a large part of a stream, by a consumer that is removed again.

Each message is parsed once, and nothing is made of it but what a scan wants: see docs/decisions/0002-frames.md.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import trio

from sagakit.errors import Ambiguous, Refused, StoreError, StreamMissing, Unavailable
from sagakit.jetstream.answers import ApiError
from sagakit.jetstream.link import Link
from sagakit.jetstream.parser import Delivery

PAGE = 1000
"""Messages asked for at once."""
PAGE_BYTES = 4 * 2**20
"""Bytes asked for at once: beyond 64 MB the server takes a client for too slow, and hangs up."""
EXPIRES = 2.0
"""Seconds that the server keeps a request for a page: then it says that the page will not become complete."""
SILENCE = 3.0
"""Seconds without any message after which a page that is not complete breaks the scan off."""
ASK_AGAIN = 0.05
"""Seconds until a page is asked for again, if nobody has heard of the consumer yet."""
_UNHEARD = "NATS/1.0 503"
"""Said of a request that met nobody: where the consumer lives it may still be about to begin."""
_GIVEN_UP = (b"NATS/1.0 404", b"NATS/1.0 408", b"NATS/1.0 409 Message Size Exceeds MaxBytes")
_COMPLETE = b"NATS/1.0 409 Batch Completed"
"""Said of a page that has come as a whole."""
END_TIMEOUT = 1.0
"""Seconds that removing the consumer may take; after half a minute without use it goes by itself."""


class Found(NamedTuple):
    """A message of the stream; `headers` is the whole block."""

    subject: str
    sequence: int
    headers: bytes
    payload: bytes


class _State(msgspec.Struct):
    last_seq: int = 0


class _Info(msgspec.Struct):
    """The answer about a stream, or about a consumer."""

    state: _State = msgspec.field(default_factory=_State)
    num_pending: int = 0
    error: ApiError | None = None


_info = msgspec.json.Decoder(_Info)


class Scan:
    """A scan of what was stored under `subject` when it began, a page at a time: at most two pages are in memory.

    What is written meanwhile is left out, or the scan of a busy stream would never end. `start` says where to start, in
    the words of the consumer's configuration. What is stored up to `after` is left out, too, unless the stream was made
    anew since then.
    """

    def __init__(self, link: Link, stream: str, subject: str, *, after: int = 0, **start: str) -> None:
        self._link = link
        self._stream = stream
        self._subject = subject
        self._start: dict[str, object] = {**start}
        self.reached: int = after
        """The last sequence that was given out: all before it has been. Where the consumer lives may lag behind."""
        self._inbox = ""
        self._consumer = ""
        self._last = 0
        self._left = 0
        self._owed = 0
        self._asked = False
        self._heard = 0
        self._page: list[Found] = []
        self._ended = trio.Event()
        """The page that was asked for is complete, or will not be."""
        self._broken = ""

    async def pages(self) -> AsyncGenerator[list[Found]]:
        """Yield the pages, none of them empty. Raises Unavailable, NotPermitted, StreamMissing."""
        async with self._link.subscriptions.diverted(self._take) as self._inbox:
            try:
                await self._begin()
                while page := await self._next():
                    yield page
            except StreamMissing:
                raise
            except (Ambiguous, Refused) as error:
                raise Unavailable(f"{self._stream}: the scan was broken off: {error}") from error
            finally:
                with trio.move_on_after(END_TIMEOUT, shield=True):
                    await self._remove()

    async def _begin(self) -> None:
        self._last = (await self._ask(f"STREAM.INFO.{self._stream}")).state.last_seq
        if 0 < self.reached <= self._last:
            self._start = {"deliver_policy": "by_start_sequence", "opt_start_seq": self.reached + 1}
        else:
            self.reached = 0
        self._consumer = f"scan-{self._inbox.rpartition('.')[2]}"
        config = {
            "name": self._consumer,
            "filter_subject": self._subject,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": 30_000_000_000,
        }
        create = msgspec.json.encode({"stream_name": self._stream, "config": config | self._start})
        made = await self._ask(f"CONSUMER.CREATE.{self._stream}.{self._consumer}.{self._subject}", create)
        self._want(made.num_pending)

    async def _next(self) -> list[Found]:
        """Return the page that was asked for. The next one is on its way while the caller looks at this one."""
        if not self._asked:
            return []
        silent = await self._falls_silent()
        patience = trio.current_time() + SILENCE
        while self._broken.startswith(_UNHEARD) and trio.current_time() < patience:
            await trio.sleep(ASK_AGAIN)
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
            with trio.move_on_after(SILENCE):
                await self._ended.wait()
            if heard == self._heard and not self._ended.is_set():
                return True
        return False

    def _want(self, left: int) -> None:
        """Ask for a page, if one is left."""
        self._left, self._owed, self._asked = left, min(PAGE, left), left > 0
        self._ended = trio.Event()
        self._broken = ""
        if self._asked:
            wanted = {"batch": self._owed, "max_bytes": PAGE_BYTES, "expires": int(EXPIRES * 1e9)}
            request = msgspec.json.encode(wanted)
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
            self._link.tell(subject, request, reply=self._inbox)

    def _take(self, delivery: Delivery) -> None:
        self._heard += 1
        if not delivery.reply:  # no message, but the word that the request has come to its end
            if delivery.headers.startswith(_COMPLETE):
                return
            if not delivery.headers.startswith(_GIVEN_UP):
                self._broken = delivery.headers.partition(b"\r\n")[0].decode(errors="replace")
            self._ended.set()
            return
        sequence, left = _position(delivery.reply)
        self._left = left if sequence < self._last else 0
        self._owed -= 1
        if sequence <= self._last:
            self.reached = sequence
            self._page.append(Found(delivery.subject, sequence, delivery.headers, delivery.payload))
        if self._owed <= 0 or not self._left:
            self._ended.set()

    async def _ask(self, call: str, request: bytes = b"") -> _Info:
        answer = _info.decode(await self._link.request(f"$JS.API.{call}", request))
        if answer.error is not None:
            raise self._link.refused(answer.error, self._stream)
        return answer

    async def _remove(self) -> None:
        if not self._consumer:
            return
        try:
            await self._ask(f"CONSUMER.DELETE.{self._stream}.{self._consumer}")
        except StoreError:
            return


def last_of_each(link: Link, stream: str, subject: str, *, after: int) -> Scan:
    """Return a scan of the last message of each subject, if stored after `after`, in a stream that keeps no others."""
    return Scan(link, stream, subject, after=after, deliver_policy="last_per_subject")


def stored_since(link: Link, stream: str, subject: str, start: float) -> Scan:
    """Return a scan of what was stored from `start` on, in seconds since the epoch."""
    at = datetime.fromtimestamp(start, UTC).isoformat()
    return Scan(link, stream, subject, deliver_policy="by_start_time", opt_start_time=at)


def _position(reply: str) -> tuple[int, int]:
    """Return a message's sequence, and how many are left, from the subject for its acknowledgement."""
    words = reply.split(".")
    at = 5 if len(words) == 9 else 7  # newer ones name a domain and an account
    return int(words[at]), int(words[at + 3])
