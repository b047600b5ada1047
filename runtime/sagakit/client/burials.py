"""Burials: the dead letters of a client's own messages, with the reasons why no worker could apply them."""

from __future__ import annotations

import re
from collections.abc import Callable
from logging import getLogger
from weakref import WeakValueDictionary

from sagakit.errors import NotPermitted, StoreError
from sagakit.jetstream.scan import window
from sagakit.store.names import Names
from sagakit.store.ports import Wire, WireEvent, WireMessage

_log = getLogger("sagakit.client")

LOOKED_AT = 200
"""Dead letters of a type that are looked at, newest first, where one may have been missed."""
_header = re.compile(rb"\r\n(Sagakit-Id|Sagakit-Subject|Sagakit-Reason): *([^\r\n]*)")


class Sent:
    """A message that was sent, and the reason why it was buried; empty if it was not, as far as is known."""

    def __init__(self, reconnects: int) -> None:
        self.reconnects: int = reconnects
        """The wire's reconnects up to which no dead letter was missed."""
        self.reason: str = ""
        self.tell: Callable[[], None] | None = None
        """A function to call when the reason is known."""


class Burials:
    """Hears dead letters by type, and tells the senders of the messages. One subscription a type."""

    def __init__(self, wire: Wire, names: Names) -> None:
        self._wire = wire
        self._names = names
        self._sent: WeakValueDictionary[tuple[str, str], Sent] = WeakValueDictionary()
        self._types: dict[str, WireEvent] = {}
        """The types that are heard; their events are set once the server knows."""
        self._deaf = False

    async def expect(self, saga_type: str, subject: str, id: str) -> Sent:
        """Return a message that is about to be sent, whose dead letter will be heard. Raises Unavailable."""
        while saga_type not in self._types or not self._types[saga_type].is_set():
            if saga_type in self._types:
                await self._types[saga_type].wait()
            else:
                await self._hear(saga_type)
        return self._sent.setdefault((subject, _as_told(id)), Sent(self._wire.reconnects))

    async def _hear(self, saga_type: str) -> None:
        heard = self._types[saga_type] = self._wire.event()
        try:
            await self._wire.hear(self._names.dead_subject("inbox", saga_type), self._take)
        except NotPermitted as error:
            _log.warning("why a message was refused is not heard, and found a few seconds later: %s", error)
            self._deaf = True
        except BaseException:  # also a cancelled caller: the next one asks again
            del self._types[saga_type]
            raise
        finally:
            heard.set()

    async def look(self, saga_type: str, sent: Sent, *, anyway: bool = False) -> None:
        """Look for the dead letter of a message among those that are kept, if it may have been missed, or `anyway`."""
        if not (anyway or self._deaf or sent.reconnects != self._wire.reconnects):
            return
        sent.reconnects = self._wire.reconnects
        subject = self._names.dead_subject("inbox", saga_type)
        try:
            part = await window(self._wire, self._names.dead, [subject], upto=None, want=LOOKED_AT)
        except StoreError as error:  # the next look may have more luck
            _log.debug("the dead letters were not read: %s", error)
            return
        for one in part.found:
            self._note(one.headers)

    def _take(self, message: WireMessage) -> None:
        self._note(message.headers)

    def _note(self, headers: bytes) -> None:
        told = {name: value.decode(errors="replace") for name, value in _header.findall(headers)}
        sent = self._sent.get((told.get(b"Sagakit-Subject", ""), told.get(b"Sagakit-Id", "")))
        if sent is not None:
            sent.reason = told.get(b"Sagakit-Reason", "") or "no reason was given"
            if sent.tell is not None:
                sent.tell()


def _as_told(id: str) -> str:
    """Return a message's id as the header of a dead letter has it."""
    return id.encode("ascii", "backslashreplace").decode()[:400]
