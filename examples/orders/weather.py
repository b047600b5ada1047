"""What goes wrong now and then: decided by the key, so that a run can be repeated."""

from __future__ import annotations

from zlib import crc32

from examples.orders.domain import ReplyLost, ServiceBusy


class Weather:
    """Per mille of first calls that find the service busy (`busy`), or whose reply is lost (`lost`)."""

    def __init__(self, *, busy: int = 0, lost: int = 0) -> None:
        self._busy = busy
        self._lost = lost
        self._met: set[str] = set()

    def before(self, key: str) -> None:
        """Raises ServiceBusy before anything is done."""
        if crc32(b"busy" + key.encode()) % 1000 < self._busy and self._first(f"busy {key}"):
            raise ServiceBusy("try again later")

    def after(self, key: str) -> None:
        """Raises ReplyLost after it was done."""
        if crc32(b"lost" + key.encode()) % 1000 < self._lost and self._first(f"lost {key}"):
            raise ReplyLost("the connection broke before the reply came")

    def _first(self, what: str) -> bool:
        if what in self._met:
            return False
        self._met.add(what)
        return True


FAIR = Weather()
"""Nothing goes wrong."""
