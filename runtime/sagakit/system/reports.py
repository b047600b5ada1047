"""Reports of what is left alone (P11): once for each key, and not more than a log can take."""

from __future__ import annotations

from logging import ERROR, getLogger

from sagakit.ration import Ration

_log = getLogger("sagakit.recovery")


class Reports:
    """One a worker: whoever meets the record first reports it."""

    def __init__(self) -> None:
        self._reported: set[str] = set()
        self._ration = Ration(_log)

    def left_alone(self, key: str, text: str) -> None:
        """Say once why the record under `key` is left alone."""
        if key not in self._reported:
            self._reported.add(key)
            self._ration.say(ERROR, "%s", text)
