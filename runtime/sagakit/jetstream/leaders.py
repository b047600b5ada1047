"""The watch over streams that have stopped answering because their leader is gone.

They are found in a second, not at the deadline of each acknowledgement, and a server that is merely busy is not
taken for one that is away: a stream is silent when the oldest message that it owes an answer has stayed the same for
SILENCE; a busy one answers in order, so its oldest moves on. A silent stream is asked, by one request at a time for all
who wait, until its leader answers. What was sent to it before that question and is still unanswered may have been lost
with the old leader, or while there was none: it ends as ambiguous, and its sender decides by reading.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from logging import WARNING, getLogger

import msgspec
import trio

from sagakit.errors import Ambiguous, NotPermitted, StoreError, Unavailable
from sagakit.jetstream.answers import AWAY, NO_STREAM, ApiError
from sagakit.ration import Ration

_log = getLogger("sagakit.link")

SILENCE = 1.0
"""Seconds that a stream may owe its oldest answer before it is asked whether it has a leader."""
ASK_AGAIN = 0.1
"""Seconds between two such questions."""
ANSWERS_WITHIN = 0.5
"""Seconds that the leader gets to answer one."""


class _LeaderAnswer(msgspec.Struct):
    error: ApiError | None = None


_got = msgspec.json.Decoder(_LeaderAnswer)


_READ = "$JS.API.STREAM.MSG.GET."


def stream_of(subject: str) -> str | None:
    """Return the stream of the bucket that a subject writes to, or reads from the leader; None for other subjects."""
    if subject.startswith("$KV."):
        return "KV_" + subject.split(".", 2)[1]
    return subject.removeprefix(_READ) if subject.startswith(_READ) else None


class Leaders:
    """The watch of one link. `ask` sends a request; messages sent so far have numbers smaller than `next_number()`.

    `give_up` ends what a stream owes of the messages before a number; `refused` tells of a stream that is missing.
    """

    def __init__(
        self,
        ask: Callable[[str, bytes, float], Awaitable[bytes]],
        until_connected: Callable[[], Awaitable[None]],
        next_number: Callable[[], int],
        give_up: Callable[[str, int], None],
        refused: Callable[[ApiError, str], StoreError],
    ) -> None:
        self._refused = refused
        self._ask = ask
        self._until_connected = until_connected
        self._next_number = next_number
        self._give_up = give_up
        self._oldest: dict[str, tuple[int, float]] = {}
        self._asking: dict[str, trio.Event] = {}
        self._nursery: trio.Nursery | None = None
        self._ration = Ration(_log, lines=1, now=trio.current_time)

    def look(self, owed: Mapping[str, int], now: float) -> None:
        """Ask the streams that have owed an answer to the same message for SILENCE seconds whether they have a leader.

        `owed` has the number of the oldest message that each stream has not answered.
        """
        known, self._oldest = self._oldest, {}
        for stream, number in owed.items():
            seen = known.get(stream)
            since = seen[1] if seen is not None and seen[0] == number else now
            self._oldest[stream] = (number, since)
            if now - since >= SILENCE and stream not in self._asking:
                text = "%s does not answer: has it lost its leader, or is its server's disk full?"
                self._ration.say(WARNING, text, stream, kind=stream)
                self._begin(stream)

    async def until_there(self, stream: str) -> None:
        """Return when the stream's leader answers. One question at a time is asked for all who wait."""
        if stream not in self._asking:
            self._begin(stream)
        await self._asking[stream].wait()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Ask, until cancelled. Started before anybody waits."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def _begin(self, stream: str) -> None:
        assert self._nursery is not None, "it runs"
        self._asking[stream] = trio.Event()
        self._nursery.start_soon(self._until_answered, stream)

    async def _until_answered(self, stream: str) -> None:
        while True:
            await self._until_connected()
            before = self._next_number()
            if await self._answers(stream):
                break
            await trio.sleep(ASK_AGAIN)
        self._asking.pop(stream).set()
        self._give_up(stream, before)

    async def _answers(self, stream: str) -> bool:
        question = msgspec.json.encode({"last_by_subj": f"$KV.{stream.removeprefix('KV_')}.is-there-a-leader"})
        try:
            answer = await self._ask(_READ + stream, question, ANSWERS_WITHIN)
        except (Ambiguous, Unavailable):
            return False
        except NotPermitted:
            return True  # those who wait are told the same
        error = _got.decode(answer).error
        if error is not None and error.err_code == NO_STREAM:
            self._refused(error, stream)  # who writes to it is not told more than that nobody answers
        return error is None or not (error.code == 503 or error.err_code in AWAY)
