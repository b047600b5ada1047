"""Places: `max_active` sagas of this worker may be at work at once; the others wait here for their turn.

A saga takes a place before it opens an attempt. While it only waits (for a time, a message or another saga) it is idle:
it keeps its place until another saga needs one. So a place that nobody can take belongs to a saga whose own code runs,
and that ends without any other saga: no circle of sagas can wait for each other's places. Sagas that are here come
before new ones, which bounds how many have begun and not ended.
"""

from __future__ import annotations

from collections.abc import Callable

import trio


class Places:
    """The places of one worker, and the line of those that wait for one. For tasks of the trio thread.

    `most` is the number of places. `granted` is called with the key of a saga that has asked and now has a place,
    `taken` with the key of an idle saga whose place another saga has got.
    """

    def __init__(self, most: int, *, granted: Callable[[str], None], taken: Callable[[str], None]) -> None:
        self._free = most
        """Number of places that nobody has; below 0 while a saga has seized one that was not there."""
        self._granted = granted
        self._taken = taken
        self._busy: set[str] = set()
        self._idle: dict[str, None] = {}
        """Keys of idle sagas, the one that has been idle for longest first: it will most likely wait on."""
        self._asking: dict[str, None] = {}
        """Keys of sagas that are here and wait for a place, in the order in which they asked."""
        self._newcomers = trio.lowlevel.ParkingLot()
        self._passing_on = False

    # ---------------------------------------------------------- newcomers

    async def enter(self) -> None:
        """Wait in line for a place for a saga that is not here yet. Then `seat` the saga, or `give_back` the place.

        If this is cancelled, no place is taken.
        """
        if self._asking or self._newcomers or not self._take():
            # the place is taken before `_hand_over` unparks this task. A task that is unparked cannot be cancelled in
            # `park` any more, so the place is not lost
            await self._newcomers.park()

    def seat(self, key: str) -> None:
        """Give the place that `enter` has taken to this saga."""
        self._busy.add(key)

    def give_back(self) -> None:
        """Free the place that `enter` has taken."""
        self._free += 1
        self._pass_on()

    # ------------------------------------------------- sagas that are here

    def has(self, key: str) -> bool:
        """Return True if the saga has a place, busy or idle."""
        return key in self._busy or key in self._idle

    def use(self, key: str) -> bool:
        """Return True if the saga may open attempts now. It gets a place if one is free, and does not wait for one."""
        if key in self._busy:
            return True
        if key in self._idle:
            del self._idle[key]
        elif self._asking or not self._take():  # those that have asked come first
            return False
        self._busy.add(key)
        return True

    def ask(self, key: str) -> None:
        """Put the saga in line, unless it has a place. `granted` is called when it gets one, perhaps at once."""
        if key not in self._asking and not self.has(key):
            self._asking[key] = None
            self._pass_on()

    def seize(self, key: str) -> None:
        """Give a place to the saga that has the worker to itself, even if none is free."""
        if not self.use(key):
            self._asking.pop(key, None)
            # `_free` may fall below 0 until a place is given back. The gate lets nobody but this saga open attempts
            # meanwhile, so the worker does not do more than it may
            self._free -= 1
            self._busy.add(key)

    def idle(self, key: str) -> None:
        """Note that the saga only waits: any other saga may take its place."""
        if key in self._busy:
            self._busy.remove(key)
            self._idle[key] = None
            self._pass_on()

    def vacate(self, key: str) -> None:
        """Free the place of a saga that is passivated. The saga stays in line if it has asked."""
        if key in self._busy:
            self._busy.remove(key)
        elif key in self._idle:
            del self._idle[key]
        else:
            return
        self.give_back()

    def leave(self, key: str) -> None:
        """Forget a saga that is not here any more, and free its place."""
        self._asking.pop(key, None)
        self.vacate(key)

    # ------------------------------------------------------------- within

    def _take(self) -> bool:
        """Take a free place, or that of an idle saga. Return False if there is neither."""
        while self._free < 1 and self._idle:  # more than one if a place was seized
            key = next(iter(self._idle))
            del self._idle[key]
            self._free += 1
            self._taken(key)
        if self._free < 1:
            return False
        self._free -= 1
        return True

    def _pass_on(self) -> None:
        """Give the places that there are to those that wait: the sagas that are here first, then the new ones."""
        if self._passing_on:  # called from `granted` or `taken`, which the loop below calls: it sees the place
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
