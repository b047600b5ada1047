"""The parser of what the server sends: plain answers and scans are taken at once, all else is nats-py's, by the piece.

Source: the NATS client protocol, `MSG` and `HMSG`. See docs/decisions/0002-frames.md for what it saves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from logging import getLogger
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error, ProtocolError
from nats.protocol.parser import MAX_CONTROL_LINE_SIZE, Parser

from sagakit.jetstream.wire import LINE

_log = getLogger("sagakit.link")

_MESSAGE = (b"MSG ", b"HMSG ")
_PULLED = b" $JS.ACK."
"""In the line of what comes from a stream; no subscription of ours gets that unasked."""
_FROM_STREAM = re.compile(r"\$JS\.ACK\.[!-~]+").fullmatch
"""Where a message is acknowledged that came from a stream."""


class Delivery(NamedTuple):
    """One message as it came. `reply` is empty where there is none, `headers` the whole block."""

    subject: str
    reply: str
    headers: bytes
    payload: bytes


class AnswerParser(Parser):
    """Answers to `inbox`, subscription `sid`, that have no headers go to `take`, by the number that ends their subject.

    nats-py's own parser is only ever given whole pieces: a message, or a control line.
    """

    def __init__(self, client: Client, inbox: str, sid: int, take: Callable[[int, bytes], None]) -> None:
        super().__init__(client)
        self._client = client
        self._answer = re.compile(rb"MSG %b\.(\d+) %d (\d+)\r\n" % (re.escape(inbox.encode()), sid))
        self._take = take
        self.diverted: dict[int, Callable[[Delivery], None]] = {}
        """Who gets the messages of a subscription in nats-py's stead, by its number; called in the trio thread."""

    def reset(self) -> None:
        """On a new connection: forget half a piece."""
        super().reset()
        self.partial: bytes = b""

    async def parse(self, data: bytes = b"") -> None:
        """Take in what nats-py has read."""
        await self.hand_on(self.take_in(data))

    async def hand_on(self, pieces: Sequence[bytes]) -> None:
        """Whole pieces that are nats-py's; on the asyncio side. Raises ProtocolError, OSError.

        What others may send does not end the connection: a message that nats-py cannot take in is dropped.
        """
        for piece in pieces:
            try:
                await super().parse(piece)
                if self.buf and piece.startswith(_MESSAGE):
                    raise ProtocolError("nats: malformed MSG")
            except Exception as error:
                Parser.reset(self)
                if isinstance(error, ProtocolError | OSError) and not piece.startswith(_MESSAGE):
                    raise
                await self._drop(piece, error)

    async def _drop(self, piece: bytes, error: Exception) -> None:
        """For good: what came from a stream would come again, to one worker after the other."""
        line = piece.partition(LINE)[0]
        _log.error("dropped what came in as %.200r", line, exc_info=error)
        reply = _reply(line.split(b" ")) if line.startswith(_MESSAGE) else ""
        if _FROM_STREAM(reply):
            with suppress(Error):
                await self._client.publish(reply, b"+TERM")

    def take_in(self, data: bytes) -> list[bytes]:
        """Take what is for us out of what was read, and return the rest of its pieces, to be handed on.

        What is not complete yet is kept for the next time. Whatever we have asked for shows that the server is there,
        and hears us: pongs wait behind megabytes of answers. What others publish does not show that it hears us.
        """
        if self.partial:
            data = self.partial + data
        rest: list[bytes] = []
        asked_for = False
        match, take = self._answer.match, self._take
        at, size = 0, len(data)
        while at < size:
            line = match(data, at)
            if line is None:
                end = _end_of_piece(data, at)
                if end > size:
                    break
                asked_for = asked_for or data.find(_PULLED, at, data.find(LINE, at)) >= 0
                if not (self.diverted and self._divert(data[at:end])):
                    rest.append(data[at:end])
                at = end
                continue
            begin = line.end()
            end = begin + int(line[2])
            if end + 2 > size:
                break
            take(int(line[1]), data[begin:end])
            asked_for = True
            at = end + 2
        if asked_for:
            self._client._pings_outstanding = 0
        self.partial = data[at:]
        return rest

    def _divert(self, piece: bytes) -> bool:
        """Whether it was a message to one of `diverted`, which has it now."""
        line, _, block = piece.partition(LINE)
        words = line.split(b" ")
        if words[0] not in (b"MSG", b"HMSG") or not words[2].isdigit():
            return False
        take = self.diverted.get(int(words[2]))
        if take is None:
            return False
        headers = int(words[-2]) if words[0] == b"HMSG" else 0
        subject = words[1].decode(errors="replace")
        delivery = Delivery(subject, _reply(words), block[:headers], block[headers : -len(LINE)])
        try:
            take(delivery)
        except Exception as error:  # as with nats-py: what others may send does not end the connection
            _log.error("dropped what came in as %.200r", line, exc_info=error)
        return True


def _reply(words: Sequence[bytes]) -> str:
    """The reply subject, by the words of a message's line; empty where there is none."""
    sizes = 1 if words[0] == b"MSG" else 2
    return words[3].decode(errors="replace") if len(words) == 4 + sizes else ""


def _end_of_piece(data: bytes, at: int) -> int:
    """Where the piece ends that begins at `at`; beyond the end of `data` if it is not all there."""
    line = data.find(LINE, at)
    if line < 0:
        endless = len(data) - at >= MAX_CONTROL_LINE_SIZE and not data.startswith(_MESSAGE, at)
        return len(data) + (not endless)  # nats-py knows what to say of an endless line
    if not data.startswith(_MESSAGE, at):
        return line + len(LINE)
    size = data[at:line].rpartition(b" ")[2]
    return line + int(size) + 2 * len(LINE) if size.isdigit() else line + len(LINE)
