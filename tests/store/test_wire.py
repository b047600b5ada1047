"""The contract of the port `Wire`, one suite for both: nats-py alone under asyncio, and a link under trio.

Each test is a coroutine function that knows neither of the two, as the code that stands on the port.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from sagakit.client.bare_errors import bare_errors
from sagakit.errors import (
    Ambiguous,
    CannotConnect,
    LoginRefused,
    NoResponders,
    NotPermitted,
    Refused,
    RuntimeClosed,
    TooLarge,
    Unavailable,
)
from sagakit.jetstream.asyncio_side import VARIABLE
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.link_wire import LinkWire
from sagakit.jetstream.security import Identity
from sagakit.jetstream.wire import header_block
from sagakit.store.ports import Wire, WireMessage

from tests.conftest import LOOPS
from tests.servers import Server, running_server

Body = Callable[[Wire], Awaitable[None]]
OnWire = Callable[[Connection, Body], None]
LONG = 10.0
LIMITED = """
authorization { users: [
  { user: all, password: all },
  { user: few, password: few, permissions: {
      publish: { allow: ["good.>", "_INBOX.>"] }, subscribe: { allow: ["good.>", "_INBOX.>"] } } } ] }
"""


def on_asyncio(connection: Connection, body: Body) -> None:
    async def main() -> None:
        async with asyncio.timeout(3 * LONG), open_asyncio_wire(connection) as wire:
            await body(wire)

    # A plain loop: once trio-asyncio is imported, `asyncio.run` runs on trio.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


def on_trio(connection: Connection, body: Body) -> None:
    async def main() -> None:
        with trio.fail_after(3 * LONG):
            async with opened_link_wire(connection) as wire:
                await body(wire)

    trio.run(main)


@asynccontextmanager
async def opened_link_wire(connection: Connection) -> AsyncIterator[Wire]:
    with bare_errors():
        async with open_link(connection) as link:
            yield LinkWire(link)


@pytest.fixture(params=["asyncio", *(f"trio {loop}" for loop in LOOPS)])
def on_wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> OnWire:
    """Runs a test on one kind of wire."""
    kind, _, loop = request.param.partition(" ")
    monkeypatch.setenv(VARIABLE, loop)
    return on_trio if kind == "trio" else on_asyncio


def to(server: Server, *, ack_timeout: float = 5.0, connect_timeout: float = 5.0) -> Connection:
    return Connection(servers=(server.url,), ack_timeout=ack_timeout, connect_timeout=connect_timeout)


async def echoing(wire: Wire, subject: str) -> None:
    """Answer each request on a subject with its own payload."""
    await wire.hear(subject, lambda message: wire.tell(message.reply, message.payload))


def test_a_request_is_answered(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        await echoing(wire, f"{namespace}.echo")
        assert wire.connected
        assert await wire.request(f"{namespace}.echo", b"hello") == b"hello"
        assert await wire.request(f"{namespace}.echo") == b""
        assert b"streams" in await wire.request("$JS.API.INFO")

    on_wire(to(server), body)


def test_requests_at_the_same_time_get_each_its_own_answer(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        await echoing(wire, f"{namespace}.echo")
        answers: dict[int, bytes] = {}

        async def ask(number: int) -> None:
            answers[number] = await wire.request(f"{namespace}.echo", str(number).encode())

        await wire.together(*(partial(ask, number) for number in range(500)))
        assert answers == {number: str(number).encode() for number in range(500)}

    on_wire(to(server), body)


def test_headers_and_reply_arrive_as_they_were_sent(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        heard: list[WireMessage] = []
        came = wire.event()
        inbox = wire.new_inbox()
        assert inbox != wire.new_inbox()

        def take(message: WireMessage) -> None:
            heard.append(message)
            came.set()

        await wire.hear(f"{namespace}.>", take)
        block = header_block({"Nats-Msg-Id": "1"})
        wire.tell(f"{namespace}.a.b", b"x", headers=block, reply=inbox)
        assert await wire.within(LONG, came)
        assert heard == [WireMessage(f"{namespace}.a.b", inbox, block, b"x")]

    on_wire(to(server), body)


def test_an_answer_with_headers_is_an_answer(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        block = header_block({"Some": "thing"})
        await wire.hear(f"{namespace}.a", lambda message: wire.tell(message.reply, b"yes", headers=block))
        assert await wire.request(f"{namespace}.a") == b"yes"

    on_wire(to(server), body)


def test_a_subject_that_nobody_hears_has_no_responders(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        with pytest.raises(NoResponders):
            await wire.request(f"{namespace}.nobody")

    on_wire(to(server), body)


def test_a_request_without_an_answer_is_ambiguous_after_its_timeout(
    server: Server, on_wire: OnWire, namespace: str
) -> None:
    async def body(wire: Wire) -> None:
        await wire.hear(f"{namespace}.mute", lambda message: None)
        with pytest.raises(Ambiguous):
            await wire.request(f"{namespace}.mute", timeout=0.1)
        with pytest.raises(Ambiguous):
            await wire.request(f"{namespace}.mute")

    on_wire(to(server, ack_timeout=0.1), body)


def test_an_answer_that_comes_late_is_for_nobody(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        replies: list[str] = []
        await wire.hear(f"{namespace}.late", lambda message: replies.append(message.reply))
        with pytest.raises(Ambiguous):
            await wire.request(f"{namespace}.late", timeout=0.1)
        wire.tell(replies[0], b"late")
        await echoing(wire, f"{namespace}.echo")
        assert await wire.request(f"{namespace}.echo", b"now") == b"now"

    on_wire(to(server), body)


def test_too_large_a_message_is_refused(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        await wire.hear(f"{namespace}.a", lambda message: wire.tell(message.reply, b"taken"))
        assert await wire.request(f"{namespace}.a", b"x" * wire.max_payload) == b"taken"
        with pytest.raises(TooLarge):
            await wire.request(f"{namespace}.a", b"x" * (wire.max_payload + 1))
        with pytest.raises(TooLarge):
            await wire.request(f"{namespace}.a", b"x" * wire.max_payload, headers=header_block({}))
        wire.tell(f"{namespace}.a", b"x" * (wire.max_payload + 1))
        assert await wire.request(f"{namespace}.a", b"x") == b"taken"

    on_wire(to(server), body)


def test_a_subject_that_breaks_out_of_its_line_is_refused(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        for subject in ("", "a b", "a\r\nPING"):
            with pytest.raises(Refused):
                await wire.request(subject)
        with pytest.raises(NoResponders):
            await wire.request(f"{namespace}.nobody")

    on_wire(to(server), body)


def test_messages_come_in_order_until_hearing_ends(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        heard: list[bytes] = []
        subscription = await wire.hear(f"{namespace}.a", lambda message: heard.append(message.payload))
        await echoing(wire, f"{namespace}.b")
        for number in range(1000):
            wire.tell(f"{namespace}.a", str(number).encode())
        await wire.request(f"{namespace}.b")  # a connection's messages are handled in order
        assert heard == [str(number).encode() for number in range(1000)]
        await subscription.end()
        wire.tell(f"{namespace}.a", b"unheard")
        await wire.request(f"{namespace}.b")
        assert len(heard) == 1000

    on_wire(to(server), body)


def test_a_taker_that_raises_hears_the_next_message(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        heard: list[bytes] = []

        def take(message: WireMessage) -> None:
            heard.append(message.payload)
            raise ValueError("a bug of the taker's")

        await wire.hear(f"{namespace}.a", take)
        await echoing(wire, f"{namespace}.b")
        wire.tell(f"{namespace}.a", b"1")
        wire.tell(f"{namespace}.a", b"2")
        await wire.request(f"{namespace}.b")
        assert heard == [b"1", b"2"]

    on_wire(to(server), body)


def test_the_subscription_is_known_to_the_server_when_hear_returns(
    server: Server, on_wire: OnWire, namespace: str
) -> None:
    async def body(wire: Wire) -> None:
        answered: list[int] = []

        async def one(number: int) -> None:
            subject = f"{namespace}.{number}"
            subscription = await wire.hear(subject, lambda message: wire.tell(message.reply, b"here"))
            assert await wire.request(subject) == b"here"
            await subscription.end()
            answered.append(number)

        await wire.together(*(partial(one, number) for number in range(200)))
        assert len(answered) == 200

    on_wire(to(server), body)


def test_a_refused_subject_is_not_permitted_and_ends_nothing_else(tmp_path: Path, on_wire: OnWire) -> None:
    with running_server(tmp_path, config=LIMITED) as server:
        few = Connection(servers=(server.url,), identity=Identity(user="few", password="few"))

        async def body(wire: Wire) -> None:
            await echoing(wire, "good.echo")
            for _ in range(2):
                with pytest.raises(NotPermitted) as refused:
                    await wire.hear("bad.Subject", lambda message: None)
                assert refused.value.subject == "bad.subject", "in lower case, as the server says it"
                assert not refused.value.publish
                with pytest.raises(NotPermitted) as refused:
                    await wire.request("bad.Subject")
                assert refused.value.subject == "bad.Subject"
                assert refused.value.publish
            assert await wire.request("good.echo", b"still here") == b"still here"
            assert wire.connected
            assert wire.reconnects == 0

        on_wire(few, body)


def test_hearing_goes_on_after_a_reconnect_and_requests_fail_meanwhile(tmp_path: Path, on_wire: OnWire) -> None:
    with running_server(tmp_path) as server:

        async def body(wire: Wire) -> None:
            heard: list[bytes] = []
            await wire.hear("a.one", lambda message: heard.append(message.payload))
            await wire.hear("a.mute", lambda message: server.kill())
            await echoing(wire, "a.echo")
            with pytest.raises(Ambiguous):
                await wire.request("a.mute")
            assert not wire.connected
            with pytest.raises(Unavailable):
                await wire.request("a.echo")
            with pytest.raises(Unavailable):
                await wire.hear("a.two", lambda message: None)
            wire.tell("a.one", b"lost")
            server.start()
            await wire.until_connected()
            assert (wire.connected, wire.reconnects) == (True, 1)
            wire.tell("a.one", b"kept")
            assert await wire.request("a.echo", b"back") == b"back"
            assert heard == [b"kept"]

        on_wire(to(server), body)


def test_what_is_cancelled_leaves_nothing_behind(server: Server, on_wire: OnWire, namespace: str) -> None:
    async def body(wire: Wire) -> None:
        await wire.hear(f"{namespace}.mute", lambda message: None)
        await echoing(wire, f"{namespace}.echo")

        async def wait() -> None:
            await wire.request(f"{namespace}.mute", timeout=LONG)

        async def hear() -> None:
            await wire.hear(f"{namespace}.cancelled", lambda message: None)

        async def fail() -> None:
            await wire.sleep(0)
            raise ValueError("the first to fail")

        for _ in range(20):
            with pytest.raises(ValueError, match="the first to fail"):
                await wire.together(wait, hear, fail)
        assert await wire.request(f"{namespace}.echo", b"fine") == b"fine"

    on_wire(to(server), body)


def test_together_runs_at_the_same_time_and_raises_an_error_as_it_is(server: Server, on_wire: OnWire) -> None:
    async def body(wire: Wire) -> None:
        first, second = wire.event(), wire.event()
        ended: list[str] = []

        async def one() -> None:
            first.set()
            await second.wait()
            ended.append("one")

        async def two() -> None:
            await first.wait()
            second.set()
            ended.append("two")

        await wire.together(one, two)
        assert sorted(ended) == ["one", "two"]
        await wire.together()

        async def fail() -> None:
            raise KeyError("as it is")

        never = wire.event()
        with pytest.raises(KeyError, match="as it is"):
            await wire.together(never.wait, fail, never.wait)

    on_wire(to(server), body)


def test_a_flag_is_waited_for_within_a_time(server: Server, on_wire: OnWire) -> None:
    async def body(wire: Wire) -> None:
        flag = wire.event()
        began = wire.now()
        assert not await wire.within(0.05, flag)
        assert wire.now() - began >= 0.04
        assert not flag.is_set()

        async def set_it() -> None:
            await wire.sleep(0.01)
            flag.set()

        async def wait() -> None:
            assert await wire.within(LONG, flag)

        await wire.together(wait, set_it)
        assert flag.is_set()
        assert await wire.within(0, flag)
        await flag.wait()

    on_wire(to(server), body)


def test_a_wire_that_was_closed_never_connects(server: Server, on_wire: OnWire) -> None:
    kept: list[Wire] = []

    async def body(wire: Wire) -> None:
        kept.append(wire)

    on_wire(to(server), body)

    async def ended() -> None:
        with pytest.raises(RuntimeClosed):
            await kept[0].until_connected()

    trio.run(ended)  # it waits for nothing


def test_opening_says_why_it_cannot_connect(tmp_path: Path, on_wire: OnWire) -> None:
    async def body(wire: Wire) -> None:
        raise AssertionError("it is not opened")

    with running_server(tmp_path, config=LIMITED) as server:
        stranger = Connection(servers=(server.url,), identity=Identity(user="x", password="y"), connect_timeout=1.0)
        with pytest.raises(LoginRefused):
            on_wire(stranger, body)
    with pytest.raises(CannotConnect):
        on_wire(to(server, connect_timeout=0.3), body)
