"""Scans: a large part of a stream, oldest first; and windows: a part of it, newest first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sagakit.errors import Ambiguous, Refused, StreamMissing, Unavailable
from sagakit.jetstream.answers import Refusing
from sagakit.jetstream.puller import END, Found, Puller, StreamState, refusal, state_of
from sagakit.store.ports import Wire

EVERYTHING: Mapping[str, object] = {}
LAST_OF_EACH: Mapping[str, object] = {"deliver_policy": "last_per_subject"}
WIDER = 8
"""A window that holds too little becomes so many times as wide. One that holds so many times too much is halved."""


class Scan:
    """A scan of what is stored under `subjects`, a page at a time: at most two pages are in memory.

    What is written meanwhile is left out, or the scan of a busy stream would never end; unless it `follows` the writes,
    until it has caught up with them. `start` says where to start, in the words of the consumer's configuration. What is
    stored up to `after` is left out, too, unless the stream was made anew since then.
    """

    def __init__(
        self,
        wire: Wire,
        stream: str,
        subjects: Sequence[str] = (),
        *,
        after: int = 0,
        follows: bool = False,
        refused: Refusing = refusal,
        start: Mapping[str, object] = EVERYTHING,
    ) -> None:
        self._wire = wire
        self._stream = stream
        self._follows = follows
        self._refused = refused
        self._start: Mapping[str, object] = start
        self._puller = Puller(wire, stream, subjects, refused)
        self.reached: int = after
        """The last sequence that was given out: all before it has been. Where the consumer lives may lag behind."""

    async def pages(self) -> AsyncGenerator[list[Found]]:
        """Yield the pages, none of them empty. Raises Unavailable, NotPermitted, StreamMissing."""
        try:
            await self._puller.open()
            await self._begin()
            while True:
                while page := await self._puller.next():
                    self.reached = page[-1].sequence
                    yield page
                if not (self._follows and await self._goes_on()):
                    break
        except StreamMissing:
            raise
        except (Ambiguous, Refused) as error:
            raise broken_off(self._stream, error) from error
        finally:
            await self._puller.close()

    async def _begin(self) -> None:
        last = (await state_of(self._wire, self._stream, self._refused)).last_seq
        if 0 < self.reached <= last:
            self._start = {"deliver_policy": "by_start_sequence", "opt_start_seq": self.reached + 1}
        else:
            self.reached = 0
        self._puller.begin(await self._puller.make(**self._start), upto=END if self._follows else last)

    async def _goes_on(self) -> bool:
        """Read on if anything is stored after what was reached.

        What the server says with each message of how many are left is too low for a moment while others are replaced.
        """
        start = _from(self.reached + 1) if self.reached else self._start
        left = await self._puller.make(**start)
        self._puller.begin(left)
        return left > 0


def broken_off(stream: str, error: Exception) -> Unavailable:
    """Return the error of a scan or a window that could not be read to its end."""
    return Unavailable(f"{stream}: the scan was broken off: {error}")


def stored_since(start: float) -> dict[str, object]:
    """Return the words for a start at a time, in seconds since the epoch."""
    at = datetime.fromtimestamp(start, UTC).isoformat()
    return {"deliver_policy": "by_start_time", "opt_start_time": at}


# ------------------------------------------------------------------------------ windows


class FoundWindow(NamedTuple):
    """A window: its messages, oldest first, and the sequence at which the window before it ends; 0 if none is left."""

    found: list[Found]
    below: int


async def window(
    wire: Wire,
    stream: str,
    subjects: Sequence[str] = (),
    *,
    upto: int | None,
    want: int,
    refused: Refusing = refusal,
) -> FoundWindow:
    """Return about `want` messages with the highest sequences up to `upto`; with None, up to the last one.

    Gaps cost little, since an empty window is not read: the server says how many messages a consumer would give out.
    Raises Unavailable, NotPermitted, StreamMissing.
    """
    puller = Puller(wire, stream, subjects, refused)
    try:
        state = await state_of(wire, stream, refused)
        last = state.last_seq if upto is None else min(upto, state.last_seq)
        if last < state.first_seq or not state.messages:
            return FoundWindow([], 0)
        await puller.open()
        start, left, count = await _place(puller, state, last, want)
        found: list[Found] = []
        if count:
            # one more than expected: a message beyond the window shows that the window is complete
            puller.begin(left, upto=last, expected=count + 1)
            while page := await puller.next():
                found += page
        return FoundWindow(found, start - 1 if start > state.first_seq else 0)
    except StreamMissing:
        raise
    except (Ambiguous, Refused) as error:
        raise broken_off(stream, error) from error
    finally:
        await puller.close()


async def _place(puller: Puller, state: StreamState, last: int, want: int) -> tuple[int, int, int]:
    """Make the consumer of a window that ends at `last`. Return its start, what it gives out, and the window's share.

    The window becomes wider until it holds enough or reaches the first message, and narrower again if it holds far too
    much: a dense part of the stream may follow a gap.
    """
    beyond = 0 if last >= state.last_seq else await puller.make(**_from(last + 1))
    width = max(1, want * (state.last_seq - state.first_seq + 1) // state.messages)
    too_narrow, too_wide = 0, 0
    while True:
        start = max(state.first_seq, last - width + 1)
        left = await puller.make(**_from(start))
        count = max(0, left - beyond)
        if count < want and start > state.first_seq:
            too_narrow = width
        elif count > WIDER * want:
            too_wide = min(width, last - state.first_seq + 1)
        else:
            return start, left, count
        if too_wide and too_wide - too_narrow <= 1:
            return start, left, count  # what is written meanwhile has changed the counts
        width = (too_narrow + too_wide) // 2 if too_wide else width * WIDER


def _from(sequence: int) -> dict[str, object]:
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": sequence}
