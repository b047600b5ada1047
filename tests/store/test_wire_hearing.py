"""The contract of the port `Wire`: hearing, reconnecting, cancelling, and the tools for tasks. See `test_wire.py`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
from sagakit.errors import (
    Ambiguous,
    CannotConnect,
    LoginRefused,
    NotPermitted,
    RuntimeClosed,
    Unavailable,
)
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.puller import Puller, refusal
from sagakit.jetstream.security import Identity
from sagakit.store.ports import Wire, WireMessage

from tests.servers import Server, running_server
from tests.store.wires import LONG, OnWire, echoing, to

LIMITED = """
authorization { users: [
  { user: all, password: all },
  { user: few, password: few, permissions: {
      publish: { allow: ["good.>", "_INBOX.>"] }, subscribe: { allow: ["good.>", "_INBOX.>"] } } } ] }
"""


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


def test_a_look_takes_no_message_that_no_stream_has_handed_out(
    server: Server, on_wire: OnWire, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may publish to an inbox, with any subject for the answer."""

    async def body(wire: Wire) -> None:
        puller = Puller(wire, "S", [], refusal)
        await puller.open()
        wire.tell(puller._inbox, b"{}", reply="nobody.asked")
        await wire.request("$JS.API.INFO")  # the server has passed the message on before it answers this
        assert puller._heard == 1
        assert puller._page == []
        await puller.close()

    on_wire(to(server), body)
    assert caplog.text == ""
