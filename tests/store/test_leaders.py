"""A stream that has lost its leader is told from one that is busy (P12), under virtual time."""

from __future__ import annotations

import trio
import trio.testing
from sagakit.errors import Ambiguous, NoResponders, StoreError
from sagakit.jetstream.answers import ApiError, to_error
from sagakit.jetstream.leaders import ANSWERS_WITHIN, SILENCE, Leaders, stream_of

Clock = trio.testing.MockClock


def _refused(error: ApiError, stream: str) -> StoreError:
    return to_error(error, key=stream, expected=None, stream=stream)


HERE = b'{"error": {"code": 404, "err_code": 10037, "description": "no message found"}}'
AWAY = b'{"error": {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}}'


class Server:
    """Answers questions after a leader; `given_up` notes what was ended, and when."""

    def __init__(self) -> None:
        self.answer: bytes | type[Exception] = HERE
        self.asked: list[float] = []
        self.given_up: list[tuple[float, str, int]] = []
        self.next_number = 1000
        self.leaders = Leaders(self._ask, self._connected, lambda: self.next_number, self._give_up, _refused)

    async def _ask(self, subject: str, payload: bytes, timeout: float) -> bytes:
        self.asked.append(trio.current_time())
        if self.answer is Ambiguous:
            await trio.sleep(timeout)
        await trio.lowlevel.checkpoint()
        if not isinstance(self.answer, bytes):
            raise self.answer(subject)
        return self.answer

    async def _connected(self) -> None:
        await trio.lowlevel.checkpoint()

    def _give_up(self, stream: str, next_number: int) -> None:
        self.given_up.append((trio.current_time(), stream, next_number))

    async def sweep(self, seconds: float, oldest: int | None, *, moves: bool = False) -> None:
        """Look ten times a second; what the stream owes is the same, or moves on."""
        for turn in range(round(seconds * 10)):
            owed = {} if oldest is None else {"KV_S": oldest + turn * moves}
            self.leaders.look(owed, trio.current_time())
            await trio.sleep(0.1)


async def test_a_busy_stream_is_left_alone(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    server = Server()
    await nursery.start(server.leaders.run)
    await server.sweep(60, 1, moves=True)
    assert (server.asked, server.given_up) == ([], [])


async def test_what_a_silent_stream_owes_is_given_up_once_its_leader_answers(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    server = Server()
    await nursery.start(server.leaders.run)
    for away in (NoResponders, AWAY, Ambiguous):
        server.answer, server.asked, server.given_up = away, [], []
        began = trio.current_time()
        await server.sweep(5, 7)
        assert server.asked[0] - began >= SILENCE
        assert server.given_up == [], "nobody knows yet what has become of it"
        server.answer = HERE
        back = trio.current_time()
        await server.sweep(2, None)
        (at, stream, next_number), *more = server.given_up
        assert (stream, next_number, more) == ("KV_S", 1000, [])
        assert at - back <= ANSWERS_WITHIN + 0.2


async def test_all_who_wait_ask_with_one_question(autojump_clock: Clock, nursery: trio.Nursery) -> None:
    server = Server()
    server.answer = NoResponders
    await nursery.start(server.leaders.run)
    async with trio.open_nursery() as waiting:
        for _ in range(1000):
            waiting.start_soon(server.leaders.until_there, "KV_S")
        await trio.sleep(10)
        assert len(server.asked) <= 101
        server.answer = HERE
    assert trio.current_time() < 10.2


async def test_what_was_sent_while_there_was_no_leader_is_given_up_with_the_rest(
    autojump_clock: Clock, nursery: trio.Nursery
) -> None:
    server = Server()
    server.answer = NoResponders
    await nursery.start(server.leaders.run)
    await server.sweep(3, 7)
    server.next_number = 1500
    await server.sweep(3, 7)
    server.answer = HERE
    await server.sweep(2, None)
    assert [given_up[1:] for given_up in server.given_up] == [("KV_S", 1500)]


def test_only_buckets_are_watched() -> None:
    assert stream_of("$KV.shop_SAGA_STATE.Trip.a") == "KV_shop_SAGA_STATE"
    assert stream_of("$JS.API.STREAM.MSG.GET.KV_SAGA_STATE") == "KV_SAGA_STATE", "only its leader answers"
    assert stream_of("saga.Trip.started") is None
    assert stream_of("$JS.API.INFO") is None
