"""A tail of a stream: its messages in order, from a sequence or a time on, and then those that are written.

A consumer in the server's memory is behind it. When the connection is lost, or the consumer is gone, another consumer
goes on after the last message. Nothing comes twice, and nothing is left out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from sagakit.errors import Ambiguous, Unavailable
from sagakit.jetstream.puller import ask, refusal, state_of
from sagakit.store.ports.wire_port import Subscription, Wire, WireMessage

BATCH = 1000
"""Messages that are asked for at once."""
BATCH_BYTES = 4 * 2**20
"""Bytes that are asked for at once: the server hangs up on a client that has too much to read."""
EXPIRES = 5.0
"""Seconds that the server keeps a request for messages."""
SILENCE = 3.0
"""Seconds beyond EXPIRES after which the consumer counts as gone."""
UNUSED = 30.0
"""Seconds without a request after which the server removes the consumer."""
AGAIN = 0.2
"""Seconds until a consumer that could not be made is tried again."""
_NOTHING_LEFT = (b"NATS/1.0 404", b"NATS/1.0 408")
"""Heads of the server's words that a request for messages has ended because there are no more."""
_TOO_MUCH = (b"NATS/1.0 409 Message Size", b"NATS/1.0 409 Batch")
"""Heads of the server's words that it has ended because all that was asked for has come."""


class Tailed(NamedTuple):
    """A message of a stream; `headers` is the whole block."""

    subject: str
    sequence: int
    headers: bytes
    payload: bytes


class News:
    """A flag that one or several tails set when something has come for `taken` or for `mind`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._flag = wire.event()

    def tell(self) -> None:
        """Set the flag."""
        self._flag.set()

    async def wait(self, within: float) -> None:
        """Wait for the flag, at most so many seconds, and clear it. What it told of has to be looked at after that."""
        await self._wire.within(within, self._flag)
        self._flag = self._wire.event()


class Tail:
    """An async context manager: hears the stream while it is open. For one task at a time.

    `after` is the last sequence that is left out. `since`, in seconds since the epoch, leaves out what is older.
    A reader of several tails gives them the same `news`, and calls `mind` and `taken` in the place of `take`.
    """

    def __init__(
        self,
        wire: Wire,
        stream: str,
        subject: str,
        *,
        after: int = 0,
        since: float | None = None,
        news: News | None = None,
    ) -> None:
        self._wire = wire
        self._stream = stream
        self._subject = subject
        self._since = since
        self.reached: int = after
        """Sequence of the last message that was taken."""
        self.behind: bool = True
        """True until all that was stored when the tail was opened has been taken; False at once if that is nothing."""
        self._inbox = ""
        self._consumer = ""
        self._heard_by: Subscription | None = None
        self._news = news or News(wire)
        self._got: list[Tailed] = []
        self._pending = 0
        self._owed = 0
        self._order = 0
        """Number of the last message, as the consumer counts them: a gap means that one was lost on its way."""
        self._is_broken = True
        self._asked_at = 0.0
        self._reconnects = 0

    async def __aenter__(self) -> Self:
        """Hear the stream. Raises Unavailable, NotPermitted, StreamMissing."""
        try:
            await self._begin()
        except BaseException:  # a cancelled opening leaves nothing on the server either
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Have the consumer removed."""
        await self._close()

    async def skip(self) -> None:
        """Leave out all that is stored now. Raises StoreError."""
        self.reached = await last_sequence(self._wire, self._stream)

    async def take(self, within: float) -> list[Tailed]:
        """Return what has come since the last call; empty if nothing comes within so many seconds.

        Goes on by itself after an outage. Raises NotPermitted, StreamMissing, RuntimeClosed.
        """
        await self.mind(within)
        await self._news.wait(within)
        return self.taken()

    async def mind(self, within: float) -> None:
        """Ask for more messages, or make another consumer where this one is gone. Errors are those of `take`.

        Where that cannot be done, in an outage, it waits for a moment, but no longer than so many seconds.
        """
        if self._got:
            self._news.tell()
            return
        is_silent = self._owed > 0 and self._wire.now() - self._asked_at > EXPIRES + SILENCE
        if not (self._is_broken or is_silent or self._reconnects != self._wire.reconnects):
            if self._owed <= 0:
                self._ask()
            return
        try:
            await self._wire.until_connected()
            await self._begin()
        except (Unavailable, Ambiguous):
            await self._wire.sleep(min(AGAIN, within))

    def taken(self) -> list[Tailed]:
        """Return what has come since the last call."""
        found, self._got = self._got, []
        if found:
            self.reached = found[-1].sequence
        if not self._pending:
            self.behind = False
        return found

    # ------------------------------------------------------------- private

    async def _begin(self) -> None:
        await self._close()
        self._reconnects = self._wire.reconnects
        self._is_broken, self._order = True, 0
        self._inbox = self._wire.new_inbox()
        self._heard_by = await self._wire.hear(self._inbox, self._take)
        self._consumer = f"tail-{self._inbox.rpartition('.')[2]}"
        config = {
            "name": self._consumer,
            "filter_subject": self._subject,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": round(UNUSED * 1e9),
            **self._start(),
        }
        request = msgspec.json.encode({"stream_name": self._stream, "config": config})
        call = f"CONSUMER.CREATE.{self._stream}.{self._consumer}.{self._subject}"
        made = await ask(self._wire, self._stream, call, request, refusal)
        self._is_broken, self._pending = False, made.num_pending
        self.behind = self.behind and made.num_pending > 0
        self._ask()

    def _start(self) -> dict[str, object]:
        if self.reached:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": self.reached + 1}
        if self._since is not None:
            at = datetime.fromtimestamp(self._since, UTC).isoformat()
            return {"deliver_policy": "by_start_time", "opt_start_time": at}
        return {"deliver_policy": "all"}

    def _ask(self) -> None:
        self._owed, self._asked_at = BATCH, self._wire.now()
        wanted = {"batch": BATCH, "max_bytes": BATCH_BYTES, "expires": round(EXPIRES * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        self._wire.tell(subject, msgspec.json.encode(wanted), reply=self._inbox)

    def _take(self, message: WireMessage) -> None:
        if not message.reply:
            self._hear_of_the_end(message.headers)
            return
        sequence, order, pending = position_of(message.reply)
        if order != self._order + 1:
            self._is_broken = True  # all after the gap is read again
            self._news.tell()
            return
        self._order, self._pending = order, pending
        self._owed -= 1
        self._got.append(Tailed(message.subject, sequence, message.headers, message.payload))
        self._news.tell()

    def _hear_of_the_end(self, headers: bytes) -> None:
        self._owed = 0
        if headers.startswith(_NOTHING_LEFT):
            self._pending = 0  # what was counted has been removed, or replaced, meanwhile
        elif not headers.startswith(_TOO_MUCH):
            self._is_broken = True
        self._news.tell()

    async def _close(self) -> None:
        """Hear no more, and have the consumer removed. The server removes it in any case after UNUSED."""
        if self._consumer:
            self._wire.tell(f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._consumer}", b"", reply=self._inbox)
            self._consumer = ""
        if self._heard_by is not None:
            subscription, self._heard_by = self._heard_by, None
            await subscription.end()


def position_of(reply: str) -> tuple[int, int, int]:
    """Return a message's sequence, its number for the consumer, and how many are left, from its reply subject."""
    words = reply.split(".")
    at = 5 if len(words) == 9 else 7  # newer ones name a domain and an account
    return int(words[at]), int(words[at + 1]), int(words[at + 3])


async def last_sequence(wire: Wire, stream: str) -> int:
    """Return the sequence of the last message of a stream. Raises StoreError: StreamMissing if there is no stream."""
    return (await state_of(wire, stream, refusal)).last_seq
