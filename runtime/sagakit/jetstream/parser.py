"""The parser of what the server sends. Plain answers and scans are taken at once; all else is nats-py's, by the piece.

Source: the NATS client protocol, `MSG` and `HMSG`. See docs/decisions/0002-frames.md for what it saves.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from functools import partial
from logging import getLogger
from typing import NamedTuple, TypeAlias, TypeVarTuple

from nats.aio.client import Client
from nats.errors import Error, ProtocolError
from nats.protocol.parser import MAX_CONTROL_LINE_SIZE, Parser

from sagakit.jetstream.wire import LINE

Ts = TypeVarTuple("Ts")

_log = getLogger("sagakit.link")

_MESSAGE = (b"MSG ", b"HMSG ")
_PULLED = b" $JS.ACK."
"""A part of the line of what comes from a stream; no subscription of ours gets that unasked."""
_FROM_STREAM = re.compile(r"\$JS\.ACK\.[!-~]+").fullmatch
"""The subject on which a message that came from a stream is acknowledged."""


class Delivery(NamedTuple):
    """A message as it came. `reply` is empty where there is none, `headers` the whole block."""

    subject: str
    reply: str
    headers: bytes
    payload: bytes


Answers: TypeAlias = "Sequence[tuple[int, bytes]]"
"""Answers to our inbox, each with the number that ends its subject."""


class Takers(NamedTuple):
    """The takers of what comes in. For the trio thread, except `diverted`, which either side may look into."""

    answers: Callable[[Answers], None]
    """Takes answers to our inbox, in the order in which they came."""
    deliver: Callable[[int, Delivery], None]
    """Takes a message of a subscription in `diverted`, by its number."""
    diverted: Container[int]
    """The subscriptions whose messages are not for nats-py."""


class Splitter:
    """Cuts what one connection sends into whole pieces: a message, or a control line.

    Answers to `inbox`, subscription `sid`, that have no headers are taken; so is what is diverted. `heard` is called
    when something has come that the server would not send if it did not hear us.
    """

    def __init__(self, inbox: str, sid: int, takers: Takers, heard: Callable[[], None]) -> None:
        self._answer = re.compile(rb"MSG %b\.(\d+) %d (\d+)\r\n" % (re.escape(inbox.encode()), sid))
        self._takers = takers
        self._heard = heard
        self.partial: bytes = b""
        """The beginning of a piece that is not complete yet."""

    def take_in(self, data: bytes) -> list[bytes]:
        """Take what is for us out of what was read, and return the rest of its pieces, to be handed on.

        An incomplete piece is kept for the next time. Whatever we have asked for shows that the server is there, and
        hears us: pongs wait behind megabytes of answers. What others publish does not show that it hears us.
        """
        if self.partial:
            data = self.partial + data
        rest: list[bytes] = []
        answers: list[tuple[int, bytes]] = []
        asked_for = False
        match, takers = self._answer.match, self._takers
        at, size = 0, len(data)
        while at < size:
            line = match(data, at)
            if line is None:
                end = _end_of_piece(data, at)
                if end > size:
                    break
                asked_for = asked_for or data.find(_PULLED, at, data.find(LINE, at)) >= 0
                if answers:  # what is diverted does not overtake them
                    takers.answers(answers)
                    asked_for, answers = True, []
                if not (takers.diverted and self._divert(data[at:end])):
                    rest.append(data[at:end])
                at = end
                continue
            number, length = line.groups()
            begin = line.end()
            end = begin + int(length)
            if end + 2 > size:
                break
            answers.append((int(number), data[begin:end]))
            at = end + 2
        if answers:
            takers.answers(answers)
        if asked_for or answers:
            self._heard()
        self.partial = data[at:]
        return rest

    def _divert(self, piece: bytes) -> bool:
        """Deliver a message to one of `diverted`. False if it is none."""
        line, _, block = piece.partition(LINE)
        words = line.split(b" ")
        if words[0] not in (b"MSG", b"HMSG") or not words[2].isdigit():
            return False
        sid = int(words[2])
        if sid not in self._takers.diverted:
            return False
        headers = int(words[-2]) if words[0] == b"HMSG" else 0
        subject = words[1].decode(errors="replace")
        self._takers.deliver(sid, Delivery(subject, _reply(words), block[:headers], block[headers : -len(LINE)]))
        return True


class AnswerParser(Parser):
    """nats-py's parser, on the asyncio side, for what nats-py reads by itself and for what trio hands on.

    nats-py's own code is only ever given whole pieces, so its state is always "awaiting a control line". The answers of
    one read go to trio as one batch, by `here`.
    """

    def __init__(self, client: Client, inbox: str, sid: int, takers: Takers, here: Callable[..., None]) -> None:
        self._taken: list[Callable[[], None]] = []
        batched = Takers(self._later(takers.answers), self._later(takers.deliver), takers.diverted)
        self.splitter: Splitter = Splitter(inbox, sid, batched, self._heard)
        super().__init__(client)
        self._client = client
        self._here = here
        self._takers = takers
        self._inbox = inbox
        self._sid = sid
        self._one_at_a_time = asyncio.Lock()

    def _later(self, take: Callable[[*Ts], None]) -> Callable[[*Ts], None]:
        return lambda *taken: self._taken.append(partial(take, *taken))

    def _heard(self) -> None:
        self._client._pings_outstanding = 0

    def lend(self, heard: Callable[[], None]) -> Splitter:
        """Return a splitter for trio, which goes on where the one of this side has stopped."""
        lent = Splitter(self._inbox, self._sid, self._takers, heard)
        lent.partial, self.splitter.partial = self.splitter.partial, b""
        return lent

    def reset(self) -> None:
        """Forget the part of a message that a lost connection has left."""
        super().reset()
        self.splitter.partial = b""

    async def parse(self, data: bytes = b"") -> None:
        """Take in what nats-py has read."""
        rest = self.splitter.take_in(data)
        if self._taken:
            taken, self._taken = self._taken, []
            self._here(_call_all, taken)
        await self.hand_on(rest)

    async def hand_on(self, pieces: Sequence[bytes]) -> None:
        """Give whole pieces to nats-py. Raises ProtocolError, OSError.

        What others may send does not end the connection: a message that nats-py cannot take in is dropped.
        """
        # What trio has handed on may still be under way when nats-py reads again by itself.
        async with self._one_at_a_time:
            for piece in pieces:
                try:
                    await super().parse(piece)
                    if self.buf and piece.startswith(_MESSAGE):
                        raise ProtocolError("nats: malformed MSG")
                except Exception as error:  # whatever nats-py makes of broken bytes: one message is dropped
                    Parser.reset(self)
                    if isinstance(error, ProtocolError | OSError) and not piece.startswith(_MESSAGE):
                        raise
                    await self._drop(piece, error)

    async def _drop(self, piece: bytes, error: Exception) -> None:
        """Drop a message for good: what came from a stream would come again, to one worker after the other."""
        line = piece.partition(LINE)[0]
        _log.error("dropped what came in as %.200r", line, exc_info=error)
        reply = _reply(line.split(b" ")) if line.startswith(_MESSAGE) else ""
        if _FROM_STREAM(reply):
            with suppress(Error):
                await self._client.publish(reply, b"+TERM")


def _call_all(taken: Sequence[Callable[[], None]]) -> None:
    for take in taken:
        take()


def _reply(words: Sequence[bytes]) -> str:
    """Return the reply subject, by the words of a message's line; empty where there is none."""
    sizes = 1 if words[0] == b"MSG" else 2
    return words[3].decode(errors="replace") if len(words) == 4 + sizes else ""


def _end_of_piece(data: bytes, at: int) -> int:
    """Return where the piece ends that begins at `at`; beyond the end of `data` if it is not all there."""
    line = data.find(LINE, at)
    if line < 0:
        endless = len(data) - at >= MAX_CONTROL_LINE_SIZE and not data.startswith(_MESSAGE, at)
        return len(data) + (not endless)  # nats-py knows what to say of an endless line
    if not data.startswith(_MESSAGE, at):
        return line + len(LINE)
    size = data[at:line].rpartition(b" ")[2]
    return line + int(size) + 2 * len(LINE) if size.isdigit() else line + len(LINE)
