"""The walk: the values of several streams, newest first, by windows that are read when they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf

from sagakit.store.ports import StoredValue, StreamReading

MOST = 2000
"""Values that one window is asked for, at most."""


class StreamWalk:
    """The way back through one stream, from the sequence `below` on; 0 means that nothing is left.

    With a `patience` the lane steps back after so many values, for as long as other lanes have some: then its values
    come later than their time says.
    """

    def __init__(
        self, stream: StreamReading, patterns: Sequence[str], below: int | None, *, patience: float = inf
    ) -> None:
        self._stream = stream
        self._patterns = patterns
        self._below = below
        self.patience: float = patience
        self.values: deque[StoredValue] = deque()
        """The values that were read and not taken, newest first."""

    @property
    def place(self) -> int | None:
        """The sequence at which a later walk goes on; 0 if nothing is left."""
        return self.values[0].sequence if self.values else self._below

    @property
    def is_dry(self) -> bool:
        """True if a window has to be read to know the newest value that is left."""
        return not self.values and self._below != 0

    async def fill(self, want: int) -> None:
        """Read a window unless there are values. Raises StoreError."""
        while self.is_dry:
            window = await self._stream.window(self._patterns, upto=self._below, want=want)
            self.values.extend(window.values)
            self._below = window.below

    def take(self) -> StoredValue:
        """Return the newest value, once."""
        self.patience -= 1
        return self.values.popleft()


class Walk:
    """Takes values from lanes, the newest first. `want` is how many values the first windows are asked for."""

    def __init__(self, lanes: Sequence[StreamWalk], *, want: int) -> None:
        self._lanes = lanes
        self._want = min(want, MOST)

    @property
    def places(self) -> Sequence[int | None]:
        """The sequences at which a later walk goes on, one a lane."""
        return [lane.place for lane in self._lanes]

    async def next(self) -> StoredValue | None:
        """Return the newest value that is left; None at the end. Raises StoreError."""
        return await self._newest([lane for lane in self._lanes if lane.patience > 0]) or await self._newest(
            self._lanes
        )

    async def _newest(self, lanes: Sequence[StreamWalk]) -> StoredValue | None:
        if any(lane.is_dry for lane in lanes):
            want, self._want = self._want, min(2 * self._want, MOST)
            for lane in lanes:
                await lane.fill(want)
        heads = [lane for lane in lanes if lane.values]
        return max(heads, key=lambda lane: lane.values[0].at).take() if heads else None
