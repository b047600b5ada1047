"""The complaints about a connection: kept for the error of opening, and logged once, not ten times a second."""

from __future__ import annotations

import re
from collections import deque
from logging import ERROR, getLogger

from sagakit.errors import NotPermitted, StreamMissing
from sagakit.ration import Ration

_log = getLogger("sagakit.link")

KEPT = 50
"""Texts that are kept, the newest."""
TOLD = 1000
"""Different texts that are remembered as logged; beyond them the first may be logged again."""

_REFUSED = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE)
_AUTHENTICATION = re.compile(r"authorization violation|authentication (expired|revoked)", re.IGNORECASE)


class ConnectionErrors:
    """The complaints about one connection."""

    def __init__(self) -> None:
        self.texts: deque[str] = deque(maxlen=KEPT)
        self._told: set[str] = set()
        self._ration = Ration(_log, lines=1)

    @property
    def refused_login(self) -> str | None:
        """The last text by which the server refused our login. The server may also just hang up, before or after."""
        return next((text for text in reversed(self.texts) if _AUTHENTICATION.search(text)), None)

    @property
    def most_telling(self) -> str | None:
        """The text to name when there is no connection: a broken handshake says more than the hang-up after it."""
        found = next((text for text in reversed(self.texts) if "SSL" in text or "TLS" in text), None)
        return found or (self.texts[-1] if self.texts else None)

    def add(self, error: Exception) -> NotPermitted | None:
        """Keep an error, and log it the first time. Return NotPermitted for a subject that the server refused."""
        text = str(error) or type(error).__name__
        self.texts.append(text)
        found = refused_subject(text)
        if found is None:
            self._tell(text, text)
            return None
        verb, tokens = "publish" if found.publish else "subscription", found.subject.split(".")
        self._tell(f"{verb} {tokens[:5] if tokens[0].startswith('$js') else tokens[:2]}", str(found), error=True)
        return found

    def over(self) -> None:
        """Forget what was logged: the connection is up again, and what comes now is news."""
        self._told.clear()

    def missing(self, error: StreamMissing) -> None:
        """Log that a stream is gone, once a minute."""
        self._ration.say(ERROR, "%s", error, kind=error.stream)

    def _tell(self, what: str, text: str, *, error: bool = False) -> None:
        if what in self._told:
            return
        if len(self._told) >= TOLD:
            self._told.clear()
        self._told.add(what)
        (_log.error if error else _log.warning)("NATS: %s", text)


def refused_subject(text: str) -> NotPermitted | None:
    """Return the error for a complaint about a subject that this account may not use; None for any other complaint."""
    refused = _REFUSED.search(text)
    return None if refused is None else NotPermitted(refused[2], publish=refused[1].lower() == "publish")
