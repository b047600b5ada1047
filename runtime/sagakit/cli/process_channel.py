"""The channel between a worker process and its parent: a pair of sockets, on which lines of JSON go both ways.

The parent asks for health and metrics, and asks for a drain. It does that here and not by a signal: a service manager
may send SIGTERM to all processes of a service, and a second signal ends a worker at once.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Literal, TypeAlias

import msgspec
import trio

from sagakit.cli.health import Health
from sagakit.cli.stop import Stop


class HealthQuestion(msgspec.Struct, frozen=True, tag="ask"):
    """A question of the parent: the reason why the worker is not ready, or its metrics as text."""

    number: int
    about: Literal["ready", "metrics"]


class DrainOrder(msgspec.Struct, frozen=True, tag="drain"):
    """The order to drain and to end, with its reason for the log."""

    why: str


class HealthAnswer(msgspec.Struct, frozen=True):
    """The answer to the question with this number. The answer 0 says that the process listens now."""

    number: int
    text: str | None = None


_ParentMessage: TypeAlias = HealthQuestion | DrainOrder


class ParentEnd:
    """The end of the channel that the parent holds. It never waits to send."""

    def __init__(self, end: socket.socket) -> None:
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(end))
        self._end = end
        self._numbers = count(1)
        self._waiting: dict[int, trio.MemorySendChannel[HealthAnswer]] = {}
        self.listens: bool = False
        """True while the process listens: not while it still imports modules, and not once it has ended."""

    async def take_answers(self) -> None:
        """Hand each answer to its question, until the process has ended."""
        try:
            with suppress(trio.BrokenResourceError):
                async for line in _lines(self._stream):
                    self.listens = True
                    answer = msgspec.json.decode(line, type=HealthAnswer)
                    if answer.number in self._waiting:
                        self._waiting[answer.number].send_nowait(answer)
        finally:  # also cancelled: a process that a step has forked may hold the other end open
            self._ended()

    async def ask(self, about: Literal["ready", "metrics"], *, patience: float) -> HealthAnswer | None:
        """Return the answer; None if the process gives none within `patience` seconds, or has ended."""
        question = HealthQuestion(next(self._numbers), about)
        put, taken = trio.open_memory_channel[HealthAnswer](1)
        self._waiting[question.number] = put
        try:
            with trio.move_on_after(patience), suppress(trio.EndOfChannel):
                if self.send(question):
                    return await taken.receive()
            return None
        finally:
            del self._waiting[question.number]

    def send(self, message: _ParentMessage) -> bool:
        """Send a message; False if the process has ended, or has left hundreds of messages unread."""
        try:
            self._end.send(_line(message))  # a few bytes: all of them go, or none
        except BlockingIOError:
            return False
        except ConnectionError:
            self._ended()
            return False
        return True

    def _ended(self) -> None:
        self.listens = False
        for waiting in self._waiting.values():
            waiting.close()


@asynccontextmanager
async def answering_parent(end: socket.socket, health: Health, stop: Stop) -> AsyncIterator[None]:
    """Answer the parent of this process, and drain at its order, while the context is open."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_answer, end, health, stop)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()


async def _answer(end: socket.socket, health: Health, stop: Stop) -> None:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(end))
    with suppress(trio.BrokenResourceError):
        await stream.send_all(_line(HealthAnswer(0)))
        async for line in _lines(stream):
            message: _ParentMessage = msgspec.json.decode(line, type=_ParentMessage)
            if isinstance(message, DrainOrder):
                stop.ask(message.why)
            else:
                text = await health.why_not_ready() if message.about == "ready" else await health.text()
                await stream.send_all(_line(HealthAnswer(message.number, text)))
    # The parent was killed. Linux has ended this process already; elsewhere it ends here.
    signal.raise_signal(signal.SIGKILL)


def _line(message: _ParentMessage | HealthAnswer) -> bytes:
    return msgspec.json.encode(message) + b"\n"


async def _lines(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    """Yield each whole line until the other end is closed."""
    rest = b""
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
