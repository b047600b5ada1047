"""The generic cell rate algorithm: how soon the next request of a key may come. Its memory has a fixed size.

The algorithm is the ATM Forum's (Traffic Management Specification 4.0, af-tm-0056.000, section 4.4.3.2), in the form
of virtual scheduling: one number a key, the theoretical arrival time of its next request.

Whoever sends requests chooses keys, so they are not kept. Each key is hashed to one slot in each of a few rows, as in a
count-min sketch, and the earliest of their times counts. So a key is never let through too often. It is refused too
early only if other busy keys have all of its slots, and nobody can look for such keys without the secret.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from hashlib import blake2b

SLOTS = 4096
"""Slots of a row. With 400 keys that are out of budget, another key is refused along with them once in 10,000 times."""
ROWS = 4
_NUMBERS = struct.Struct(f"<{ROWS}I")


class Gcra:
    """A budget for each key: one request every `interval` seconds, which may come `tolerance` seconds too early.

    So `1 + tolerance / interval` requests may come at once. `now` is in seconds of a clock that starts at 0 or later
    and never runs backwards. `secret` is random, 16 to 64 bytes.
    """

    def __init__(self, interval: float, tolerance: float, *, secret: bytes, slots: int = SLOTS) -> None:
        self._interval = interval
        self._tolerance = tolerance
        self._secret = secret
        self._slots = slots
        self._arrivals = array("d", bytes(8 * ROWS * slots))

    def wait(self, key: str, now: float) -> float:
        """Return the seconds until the next request of the key may come; 0 for now."""
        return max(0.0, self._due(self._places(key)) - self._tolerance - now)

    def take(self, key: str, now: float) -> float:
        """Count a request of the key, unless it has to wait. Return the seconds until it may come; 0 for now."""
        places = self._places(key)
        due = self._due(places)
        early = due - self._tolerance - now
        if early > 0:
            return early
        following = max(due, now) + self._interval
        for place in places:  # never back: another key may have come there later
            self._arrivals[place] = max(self._arrivals[place], following)
        return 0.0

    def _due(self, places: Sequence[int]) -> float:
        return min(self._arrivals[place] for place in places)

    def _places(self, key: str) -> Sequence[int]:
        digest = blake2b(key.encode(errors="surrogatepass"), key=self._secret, digest_size=_NUMBERS.size).digest()
        return [row * self._slots + number % self._slots for row, number in enumerate(_NUMBERS.unpack(digest))]
