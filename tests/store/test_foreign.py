"""Messages from others, by rights or not: they end neither a worker's connection nor its work, nor are they obeyed."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import pytest
import trio
from nats.aio.msg import Msg
from sagakit import Completed, open_runtime
from sagakit.errors import Refused, Unavailable
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.kv import Bucket
from sagakit.jetstream.store import JetStreamStore, open_jetstream
from sagakit.jetstream.wire import header_block
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names
from sagakit.store.ports import Burial
from sagakit.system.inbound.requests import NOT_MINE
from trio.testing import MockClock

from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.system.members import member

pytestmark = pytest.mark.usefixtures("each_loop")


class Anybody:
    """A client that writes what it likes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def write(self, text: bytes) -> None:
        """Write; the server has taken it in once this returns. A PING of the server's may come behind its PONG."""
        await self._stream.send_all(text + b"PING\r\n")
        received = b""
        while b"PONG\r\n" not in received:
            piece = await self._stream.receive_some()
            assert piece, "the server has hung up"
            received += piece

    async def publish(self, subject: bytes, payload: bytes, reply: bytes = b"") -> None:
        await self.write(b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload))


@asynccontextmanager
async def anybody(server: Server) -> AsyncIterator[Anybody]:
    async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
        someone = Anybody(stream)
        await someone.write(b'CONNECT {"verbose":false}\r\n')
        yield someone


@asynccontextmanager
async def opened(server: Server, namespace: str) -> AsyncIterator[tuple[JetStreamStore, Anybody]]:
    """A store, which must have the same connection in the end, and somebody else."""
    names = Names(namespace=namespace)
    async with anybody(server) as someone, open_jetstream(Connection(servers=(server.url,)), names=names) as store:
        with trio.fail_after(60):
            yield store, someone
        assert store.connected
        assert store.reconnected_at == -inf


async def subscribed(store: JetStreamStore) -> None:
    """The server knows of all that was subscribed so far."""
    assert await store.inbox._link.request("$JS.API.INFO", b"")


async def shout(request: bytes) -> bytes:
    return request.upper()


@pytest.mark.parametrize("token", [b"\xff\xfe", b"a\x0ba", b"\x0b" + b"long" * 900])
async def test_a_message_whose_subject_is_no_text_can_be_buried(token: bytes, server: Server, namespace: str) -> None:
    """Else the message would come again, to one worker after the other."""
    async with opened(server, namespace) as (store, someone), store.inbox.receive("Trip", "new") as messages:
        subject = f"{namespace}.sagain.Trip.".encode()
        await someone.publish(subject + token, b"{}")
        await someone.publish(subject + b"good", b"{}")
        message = await anext(messages)
        assert message.fault
        assert await store.inbox.bury([Burial(message, message.fault, "InvalidInput")], by="test") == [None]
        message = await anext(messages)
        assert message.saga_id == "good"
        message.acknowledger.ack()
        await until_empty(store)


async def test_a_reply_that_is_no_text_is_not_answered(server: Server, namespace: str) -> None:
    async with opened(server, namespace) as (store, someone), store.control.serve("w1", shout):
        await subscribed(store)
        await someone.publish(f"{namespace}.sagactl.w1".encode(), b"hello", reply=b"\xff\xfe")
        assert await store.control.request("w1", b"hello", timeout=60) == b"HELLO"


@pytest.mark.parametrize(
    "announced", [b"*", b"a.b", b"a b", b"x 0\r\n\r\nPUB evil 2\r\nhi\r\nPUB y", b"\xff", b"", b"long" * 99]
)
async def test_only_what_may_be_a_worker_is_heard_of(announced: bytes, server: Server, namespace: str) -> None:
    """Its id becomes a part of subjects and keys: `*` would be everybody's lease."""
    heard: list[str] = []
    told = trio.Event()

    def hear(worker_id: str) -> None:
        heard.append(worker_id)
        told.set()

    async with opened(server, namespace) as (store, someone), store.control.announced(["Trip"], hear):
        await subscribed(store)
        subject = f"{namespace}.sagactl.adopt.Trip".encode()
        await someone.publish(subject, announced)
        await someone.publish(subject, b"worker-0123456789ab")
        await told.wait()
    assert heard == ["worker-0123456789ab"]


@pytest.mark.parametrize("reply", ["nobody.asked", "{}.saga.Trip.started"])
async def test_a_message_that_the_inbox_has_not_handed_out_is_neither_read_nor_acknowledged(
    reply: str, server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may publish to the subject on which a worker awaits its messages. It ended the worker's reading."""
    reply, asked, told = reply.format(namespace), trio.Event(), list[str]()
    inboxes: list[str] = []

    def hear(msg: Msg) -> None:
        inboxes.append(msg.reply)
        asked.set()

    async with opened(server, namespace) as (store, someone):
        link = store.inbox._link
        await link.subscriptions.hear(f"$JS.API.CONSUMER.MSG.NEXT.{store.names.inbox}.>", hear)
        await link.subscriptions.hear(reply, lambda msg: told.append(msg.subject))
        async with trio.open_nursery() as nursery, store.inbox.receive("Trip", "new") as messages:
            came: list[str] = []

            async def take() -> None:
                message = await anext(messages)
                came.append(message.saga_id)
                message.acknowledger.ack()

            nursery.start_soon(take)
            await asked.wait()
            await someone.publish(inboxes[0].encode(), b"{}", reply=reply.encode())
            await someone.publish(f"{namespace}.sagain.Trip.good".encode(), b"{}")
            await until_empty(store)
        await subscribed(store)
        assert came == ["good"]
        assert told == []
    assert "has not handed out" in caplog.text


@pytest.mark.parametrize("id", ["a b", "x 0\r\n\r\nPUB evil 2\r\nhi\r\nPUB y", "\t", "a\u2028b", ""])
async def test_what_is_no_subject_is_not_sent(id: str, server: Server, namespace: str) -> None:
    async with opened(server, namespace) as (store, _):
        with pytest.raises(Refused, match="not a subject"):
            await store.inbox._link.request(id, b"")
        with pytest.raises(Refused, match="not a subject"):
            await store.inbox._link.request(id, b"", headers=header_block({"a": "b"}))
        store.inbox._link.tell("a", b"", reply=f"{id} {id}")
        assert await store.state.create("Trip.a", b"") > 0


async def test_a_request_that_breaks_its_handler_breaks_nothing_else(server: Server, namespace: str) -> None:
    async def number(request: bytes) -> bytes:
        return b"%d" % int(request)

    async with opened(server, namespace) as (store, someone), store.control.serve("w1", number):
        await subscribed(store)
        await someone.publish(f"{namespace}.sagactl.w1".encode(), b"hello", reply=b"x")
        assert await store.control.request("w1", b"7", timeout=60) == b"7"


async def test_a_request_that_wants_no_answer_gets_none(
    server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(server, namespace) as (store, someone), store.control.serve("w1", shout):
        await subscribed(store)
        await someone.publish(f"{namespace}.sagactl.w1".encode(), b"hello")
        assert await store.control.request("w1", b"hello", timeout=60) == b"HELLO"
    assert caplog.text == ""


@pytest.mark.parametrize(
    "subject",
    [
        "$KV.{}_SAGA_STATE.Trip.a", "{}.sagain.Trip.a", "{}.saga.Trip.started", "{}.sagaop.Trip.a", "{}.sagasys.Trip.a",
        "{}.sagareply.bank.Trip.a", "{}.sagapark.Trip.a", "{}.sagadead.inbox.Trip", "{}.sagacmd.bank.pay",
        "{}.sagactl.w2",
    ],
)  # fmt: skip
async def test_an_answer_goes_nowhere_but_to_whoever_asked(subject: str, server: Server, namespace: str) -> None:
    """A client that may ask a worker may not write what the worker may."""
    async with opened(server, namespace) as (store, someone), store.control.serve("w1", shout):
        reply = subject.format(namespace).encode()
        heard: list[bytes] = []
        last = trio.Event()

        def hear(msg: Msg) -> None:
            heard.append(msg.data)
            if msg.data == b"last":
                last.set()

        link = store.inbox._link
        await link.subscriptions.hear(reply.decode(), hear)
        await subscribed(store)
        await someone.publish(f"{namespace}.sagactl.w1".encode(), b"hello", reply=reply)
        assert await store.control.request("w1", b"hello", timeout=60) == b"HELLO"
        await someone.publish(reply, b"last")
        await last.wait()
    assert heard == [b"last"]


async def test_forged_announcements_leave_nothing_behind(
    server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Well-formed ones, of workers that there never were: each was looked at, told to the log, and kept for good."""
    caplog.set_level("INFO")
    subject = f"{namespace}.sagactl.adopt.BookTrip".encode()
    async with (
        anybody(server) as someone,
        open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime,
    ):
        assert await runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
        caplog.clear()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for first in range(0, 20_000, 1000):
                ids = [b"worker-%012x" % number for number in range(first, first + 1000)]
                await someone.write(b"".join(b"PUB %b %d\r\n%b\r\n" % (subject, len(one), one) for one in ids))
            await someone.publish(subject, b"*")  # refused, and so told to the log, after all others
            with trio.fail_after(180):
                while "not a worker's id" not in caplog.text:  # noqa: ASYNC110  # a log
                    await trio.sleep(0.01)
            assert runtime._worker.recovery._members.watched() == set()
            assert runtime._worker.observer.dead == frozenset()
            assert await runtime.execute(BookTrip, "two", Trip()) == Completed("tickets-Rome")
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 500_000, "20,000 ids alone are 1.2 MB"
        finally:
            tracemalloc.stop()
    lines = [line for line in caplog.records if line.name.startswith("sagakit")]
    assert len(lines) < 1000, "the watchdog may have its say, and the lease; 20,000 workers may not"


DEEP = b"[" * 20_000 + b"]" * 20_000
"""JSON that is nested too deeply to be read."""


async def test_an_answer_that_says_nothing_is_no_answer() -> None:
    """The server's own; `python -O` must not make an empty value of it."""

    class Empty:
        refused = staticmethod(print)

        async def request(self, subject: str, payload: bytes) -> bytes:
            await trio.lowlevel.checkpoint()
            return b"{}"

    empty: Any = Empty()
    with pytest.raises(Unavailable, match=r"T\.one: .* neither a message nor an error"):
        await Bucket(empty, Names(), ["SAGA_STATE"]).get("T.one")


async def test_what_is_nested_too_deeply_is_what_cannot_be_read(autojump_clock: MockClock) -> None:
    """Such a message in the inbox ended the intake each time that it came, then the worker; as a request at once."""
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        payload = b'{"kind": "signal", "step": "a", "payload": %b}' % DEEP
        await running.store.inbox.send("client", id="m1", saga_type="BookTrip", saga_id="x", payload=payload)
        passed_on = b'{"key": "BookTrip.x", "message": {"id": "1", "kind": "signal", "payload": %b}}' % DEEP
        answer = await running.store.control.request(running.runtime.worker_id, passed_on, timeout=60)
        assert answer == NOT_MINE
        with trio.fail_after(60):
            while server.inbox:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        handle = await running.runtime.start(BookTrip, "one", Trip())
        assert await handle.outcome() == Completed("tickets-Rome")


async def until_empty(store: JetStreamStore) -> None:
    """The inbox's stream holds nothing any more."""
    link = store.inbox._link
    while b'"messages":0,' not in await link.request(f"$JS.API.STREAM.INFO.{store.names.inbox}", b""):
        pass
