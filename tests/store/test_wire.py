"""The contract of the port `Wire`, one suite for both: nats-py alone under asyncio, and a link under trio.

Each test is a coroutine function that knows neither of the two, as the code that stands on the port.
"""

from __future__ import annotations

from functools import partial

import pytest
from sagakit.errors import Ambiguous, NoResponders, Refused, TooLarge
from sagakit.jetstream.wire import header_block
from sagakit.store.ports import Wire, WireMessage, WireRequest

from tests.servers import Server
from tests.store.wires import LONG, OnWire, echoing, to


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


def test_requests_that_are_sent_together_get_each_its_own_answer_or_error(
    server: Server, on_wire: OnWire, namespace: str
) -> None:
    async def body(wire: Wire) -> None:
        assert await wire.request_all([]) == []
        echo, nobody = f"{namespace}.echo", f"{namespace}.nobody"
        await echoing(wire, echo)
        asked = [
            WireRequest(echo, header_block({"Number": str(number)}), str(number).encode()) for number in range(500)
        ]
        assert await wire.request_all(asked) == [one.payload for one in asked]
        too_large = WireRequest(echo, b"", b"x" * (wire.max_payload + 1))
        found = await wire.request_all([asked[0], too_large, WireRequest(nobody, b"", b"?"), asked[1]])
        assert found[::3] == [b"0", b"1"]
        assert [type(error) for error in found[1:3]] == [TooLarge, NoResponders]

    on_wire(to(server), body)


def test_of_requests_that_are_sent_together_those_without_an_answer_are_ambiguous(
    server: Server, on_wire: OnWire, namespace: str
) -> None:
    async def body(wire: Wire) -> None:
        await wire.hear(f"{namespace}.mute", lambda message: None)
        await echoing(wire, f"{namespace}.echo")
        asked = [WireRequest(f"{namespace}.{name}", b"", b"a") for name in ("mute", "echo", "mute")]
        found = await wire.request_all(asked)
        assert found[1] == b"a"
        assert [type(error) for error in found[::2]] == [Ambiguous, Ambiguous]

    on_wire(to(server, ack_timeout=0.1), body)


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
