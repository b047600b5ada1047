"""Places: `max_active` sagas of this worker may be at work at once; the others wait here for their turn.

A saga takes a place before it opens an attempt. While it only waits (for a time, a message or another saga) it is idle:
it keeps its place until somebody else needs one. So whoever holds a place for good has work of its own, and comes to an
end without any other saga: nobody waits in a circle. Sagas that live here come before new ones, which bounds how many
have begun and not ended.
"""

from __future__ import annotations

from collections.abc import Callable

import trio


class Places:
    """Who has a place, and who is next. For tasks of the trio thread.

    `granted` is called with the key of a saga that has asked and whose turn it is; `taken` with the key of an idle saga
    whose place somebody else has got.
    """

    def __init__(self, most: int, *, granted: Callable[[str], None], taken: Callable[[str], None]) -> None:
        self._free = most
        self._granted = granted
        self._taken = taken
        self._busy: set[str] = set()
        self._idle: dict[str, None] = {}
        """Idle since, in this order: who has waited longest will most likely wait on."""
        self._asking: dict[str, None] = {}
        self._newcomers = trio.lowlevel.ParkingLot()
        self._passing_on = False

    # ---------------------------------------------------------- newcomers

    async def enter(self) -> None:
        """Take a place for a saga that does not live here yet: `seat` it, or `give_back`. Waits in line."""
        if self._asking or self._newcomers or not self._take():
            await self._newcomers.park()  # whoever ends this has taken the place for it

    def seat(self, key: str) -> None:
        """Give the place that was taken by `enter` to this saga."""
        self._busy.add(key)

    def give_back(self) -> None:
        """Nobody needs the place that was taken by `enter`."""
        self._free += 1
        self._pass_on()

    # ------------------------------------------------- sagas that live here

    def has(self, key: str) -> bool:
        """Whether the saga has a place."""
        return key in self._busy or key in self._idle

    def use(self, key: str) -> bool:
        """Whether the saga may open attempts now. It gets a place if one is free, and does not wait for one."""
        if key in self._busy:
            return True
        if key in self._idle:
            del self._idle[key]
        elif self._asking or not self._take():
            return False
        self._busy.add(key)
        return True

    def ask(self, key: str) -> None:
        """Get in line; `granted` tells when it is this saga's turn, perhaps at once."""
        if key not in self._asking and not self.has(key):
            self._asking[key] = None
            self._pass_on()

    def seize(self, key: str) -> None:
        """Take a place even if there is none: for the saga that has the worker to itself."""
        if not self.use(key):
            self._asking.pop(key, None)
            self._free -= 1
            self._busy.add(key)

    def idle(self, key: str) -> None:
        """The saga only waits: its place is there for whoever needs it."""
        if key in self._busy:
            self._busy.remove(key)
            self._idle[key] = None
            self._pass_on()

    def vacate(self, key: str) -> None:
        """The saga goes to rest; it stays in line if it has asked."""
        if key in self._busy:
            self._busy.remove(key)
        elif key in self._idle:
            del self._idle[key]
        else:
            return
        self.give_back()

    def leave(self, key: str) -> None:
        """The saga does not live here any more."""
        self._asking.pop(key, None)
        self.vacate(key)

    # ------------------------------------------------------------- within

    def _take(self) -> bool:
        """Take one that is free, or an idle saga's."""
        while self._free < 1 and self._idle:
            key = next(iter(self._idle))
            del self._idle[key]
            self._free += 1
            self._taken(key)
        if self._free < 1:
            return False
        self._free -= 1
        return True

    def _pass_on(self) -> None:
        """Whoever waits gets what there is: those who live here first."""
        if self._passing_on:  # one who was granted a place has given it back at once: the loop below sees it
            return
        self._passing_on = True
        try:
            while (self._asking or self._newcomers) and self._take():
                self._hand_over()
        finally:
            self._passing_on = False

    def _hand_over(self) -> None:
        if not self._asking:
            self._newcomers.unpark()
            return
        key = next(iter(self._asking))
        del self._asking[key]
        self._busy.add(key)
        self._granted(key)
