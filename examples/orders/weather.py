"""The weather: failures that the key decides, so that a run can be repeated."""

from __future__ import annotations

from zlib import crc32

from examples.orders.domain import ReplyLost, ServiceBusy


class Weather:
    """Failures of calls, per mille of first calls: the service is busy (`busy`), or the reply is lost (`lost`)."""

    def __init__(self, *, busy: int = 0, lost: int = 0) -> None:
        self._busy = busy
        self._lost = lost
        self._met: set[str] = set()

    def before(self, key: str) -> None:
        """Raise ServiceBusy now and then, before the service does anything."""
        if crc32(b"busy" + key.encode()) % 1000 < self._busy and self._first(f"busy {key}"):
            raise ServiceBusy("try again later")

    def after(self, key: str) -> None:
        """Raise ReplyLost now and then, after the service has acted."""
        if crc32(b"lost" + key.encode()) % 1000 < self._lost and self._first(f"lost {key}"):
            raise ReplyLost("the connection broke before the reply came")

    def _first(self, what: str) -> bool:
        if what in self._met:
            return False
        self._met.add(what)
        return True


FAIR = Weather()
"""Weather in which all calls succeed."""
