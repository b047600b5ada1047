"""The parser, with the stream cut anywhere: answers are taken, all else reaches nats-py as from its own parser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from nats.errors import ProtocolError
from nats.protocol.parser import MAX_CONTROL_LINE_SIZE, Parser
from sagakit.jetstream.parser import AnswerParser, Answers, Delivery, Takers

INBOX = "_INBOX.mine"
STREAM = (
    b'INFO {"server_id":"x"}\r\n'
    b"MSG _INBOX.mine.1 7 3\r\none\r\n"
    b"PING\r\n"
    b"MSG _INBOX.mine.2 7 0\r\n\r\n"
    b"MSG orders.new 9 reply.to 5\r\nPING\n\r\n"
    b"HMSG _INBOX.mine.3 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    b"HMSG orders.new 9 reply.to 12 17\r\nNATS/1.0\r\n\r\nhello\r\n"
    b"MSG _INBOX.mine.4 8 5\r\nother\r\n"
    b"MSG _INBOX.mine.x 7 3\r\nodd\r\n"
    b"PONG\r\n"
    b"MSG _INBOX.mine.5 7 26\r\nMSG _INBOX.mine.6 7 1\r\nx\r\n\r\n"
    b"+OK\r\n"
    b"-ERR 'Slow Consumer'\r\n"
    b"MSG _INBOX.mine.7 7 5\r\nseven\r\n"
)


class Client:
    """Writes down what a parser tells nats-py's client."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    async def _process_msg(self, *message: Any) -> None:
        self.told.append(message)

    async def _process_ping(self) -> None:
        self.told.append(("ping",))

    async def _process_pong(self) -> None:
        self.told.append(("pong",))

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.told.append(("info", info))

    async def _process_err(self, error: str) -> None:
        self.told.append(("error", error))


def parser_of(
    client: Any,
    take: Callable[[int, bytes], None] = lambda number, answer: None,
    diverted: Mapping[int, Callable[[Delivery], None]] | None = None,
) -> AnswerParser:
    """A parser on the asyncio side, whose answers are taken at once."""
    to = diverted or {}

    def take_all(answers: Answers) -> None:
        for number, answer in answers:
            take(number, answer)

    return AnswerParser(client, INBOX, 7, Takers(take_all, lambda sid, delivery: to[sid](delivery), to), at_once)


def at_once(fn: Callable[..., None], *args: Any) -> None:
    fn(*args)


def answer_of(told: tuple[Any, ...]) -> tuple[int, bytes] | None:
    """Return the answer that is to be taken at once, by what nats-py's parser makes of the same bytes."""
    if len(told) != 5 or told[0] != 7 or told[4] is not None:
        return None
    number = told[1].removeprefix(INBOX.encode() + b".")
    return (int(number), told[3]) if number.isdigit() else None


async def parsed(*pieces: bytes) -> tuple[list[tuple[int, bytes]], list[tuple[Any, ...]], bytes]:
    """Return what is taken, what nats-py is told, and what is left."""
    client: Any = Client()
    taken: list[tuple[int, bytes]] = []
    parser = parser_of(client, lambda number, answer: taken.append((number, answer)))
    for piece in pieces:
        await parser.parse(piece)
    return taken, client.told, parser.splitter.partial


async def test_wherever_the_stream_is_cut() -> None:
    client: Any = Client()
    await Parser(client).parse(STREAM)
    answers = [answer_of(told) for told in client.told]
    taken = [answer for answer in answers if answer is not None]
    rest = [told for told, answer in zip(client.told, answers, strict=True) if answer is None]
    assert [number for number, _ in taken] == [1, 2, 5, 7]
    assert await parsed(STREAM) == (taken, rest, b"")
    assert await parsed(*(bytes([byte]) for byte in STREAM)) == (taken, rest, b"")
    for cut in range(len(STREAM)):
        assert await parsed(STREAM[:cut], STREAM[cut:]) == (taken, rest, b"")


async def test_a_message_with_a_long_line_is_whole_wherever_it_is_cut() -> None:
    """Longer than a control line may be that nats-py knows: a subject and the reply of a stream together are."""
    line = b"MSG %b 9 reply 5\r\n" % (b"x" * MAX_CONTROL_LINE_SIZE)
    for cut in range(MAX_CONTROL_LINE_SIZE, len(line)):
        whole = line + b"hello\r\n"
        _, told, left = await parsed(whole[:cut], whole[cut:])
        assert told == [(9, b"x" * MAX_CONTROL_LINE_SIZE, b"reply", b"hello", None)]
        assert left == b""


async def test_a_reconnect_forgets_half_a_message() -> None:
    client: Any = Client()
    taken: list[int] = []
    parser = parser_of(client, lambda number, answer: taken.append(number))
    await parser.parse(b"MSG _INBOX.mine.1 7 300\r\nhalf of it")
    parser.reset()
    await parser.parse(b"MSG _INBOX.mine.2 7 3\r\ntwo\r\n")
    assert taken == [2]


async def test_a_diverted_subscription_reaches_nobody_else() -> None:
    """Messages with and without headers and reply, cut anywhere; what nats-py makes of them is the measure."""

    async def diverted(*pieces: bytes) -> tuple[list[Delivery], list[tuple[Any, ...]]]:
        client: Any = Client()
        found: list[Delivery] = []
        parser = parser_of(client, diverted={9: found.append})
        for piece in pieces:
            await parser.parse(piece)
        return found, client.told

    client: Any = Client()
    await Parser(client).parse(STREAM)
    messages = [told for told in client.told if len(told) == 5]
    expected = [
        Delivery(subject.decode(), reply.decode(), headers or b"", payload)
        for sid, subject, reply, payload, headers in messages
        if sid == 9
    ]
    assert [len(one.headers) for one in expected] == [0, 12]
    for cut in range(len(STREAM)):
        found, told = await diverted(STREAM[:cut], STREAM[cut:])
        assert found == expected
        assert not [message for message in told if message[0] == 9]


async def test_what_nats_py_cannot_take_in_is_dropped_and_the_rest_goes_on() -> None:
    """A message is not worth the connection; what came from a stream must not come again."""

    class Strict(Client):
        async def _process_msg(self, *message: Any) -> None:
            _, subject, reply, *_ = message
            self.told.append((subject.decode(), reply.decode()))

        async def publish(self, subject: str, payload: bytes) -> None:
            self.told.append((subject, payload))

    client: Any = Strict()
    parser = parser_of(client)
    await parser.parse(
        b"MSG a 9 0\r\n\r\n"
        b"MSG \xff 9 $JS.ACK.s.c.1 2\r\nhi\r\n"
        b"MSG a\x0ba 9 $JS.ACK.s.c.2 2\r\nhi\r\n"
        b"MSG b 9 \xff 2\r\nhi\r\n"
        b"INFO {\r\n"
        b"MSG b 9 0\r\n\r\n"
    )
    assert client.told == [("a", ""), ("$JS.ACK.s.c.1", b"+TERM"), ("$JS.ACK.s.c.2", b"+TERM"), ("b", "")]
    with pytest.raises(ProtocolError):
        await parser.parse(b"HTTP/1.1 503 away\r\n")


async def test_a_lent_splitter_goes_on_where_the_parser_has_stopped() -> None:
    """Trio takes the socket over in the middle of a message, and gives it back in the middle of another."""
    client: Any = Client()
    taken: list[int] = []
    parser = parser_of(client, lambda number, answer: taken.append(number))
    await parser.parse(b"MSG _INBOX.mine.1 7 3\r\non")
    lent = parser.lend(lambda: None)
    assert lent.take_in(b"e\r\nPING\r\nMSG _INBOX.mine.2 7 3\r\nt") == [b"PING\r\n"]
    parser.splitter.partial = lent.partial
    await parser.parse(b"wo\r\n")
    assert taken == [1, 2]


async def test_the_answers_of_one_read_cross_in_one_go() -> None:
    client: Any = Client()
    crossings: list[list[Any]] = []
    takers = Takers(lambda answers: None, lambda sid, delivery: None, {9})
    parser = AnswerParser(client, INBOX, 7, takers, lambda fn, taken: crossings.append(taken))
    await parser.parse(STREAM)
    assert len(crossings) == 1


async def test_messages_do_not_overtake_answers() -> None:
    client: Any = Client()
    taken: list[bytes] = []

    def deliver(delivery: Delivery) -> None:
        taken.append(delivery.payload)

    parser = parser_of(client, lambda number, answer: taken.append(answer), {9: deliver})
    await parser.parse(STREAM)
    assert taken[:4] == [b"one", b"", b"PING\n", b"hello"]


@pytest.mark.parametrize(
    ("piece", "shows"),
    [
        (b"MSG _INBOX.mine.1 7 3\r\none\r\n", True),
        (b"MSG orders.new 9 $JS.ACK.s.c.1 2\r\nhi\r\n", True),
        (b"MSG orders.new 9 reply 19\r\n $JS.ACK.s.c.1 2\r\nhi\r\n", False),
        (b"MSG orders.new 9 2\r\nhi\r\n", False),
        (b"PING\r\n", False),
    ],
)
async def test_what_we_have_asked_for_shows_that_the_server_hears_us(piece: bytes, shows: bool) -> None:
    client: Any = Client()
    client._pings_outstanding = 2
    await parser_of(client).parse(piece)
    assert client._pings_outstanding == (0 if shows else 2)
