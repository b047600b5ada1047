"""Events as server-sent events: in order, each once, resumed after the last one that a visitor has seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import msgspec
import pytest
import sagakit.web
from sagakit import Client
from sagakit.definition.payloads import PLAIN_PAYLOADS
from sagakit.errors import Unavailable
from sagakit.web import streaming
from sagakit.web.visitors import Everyone
from starlette.types import ASGIApp, Message

from tests.client.faces import CLIENTS, Buy, Order, worker
from tests.servers import Server
from tests.web.visits import visiting


class Listener:
    """A visitor that reads a stream until it leaves."""

    def __init__(self, app: ASGIApp, path: str, headers: dict[str, str], query: str) -> None:
        self._app = app
        self._scope = {
            "type": "http", "method": "GET", "path": path, "root_path": "", "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        self._send, self.received = anyio.create_memory_object_stream[Message](1000)
        self.leave = anyio.Event()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._text = b""

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        task_status.started()
        with self._send, suppress(anyio.BrokenResourceError):
            await self._app(self._scope, self._receive, self._send.send)

    async def _receive(self) -> Message:
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def opened(self) -> None:
        """Wait for the head of the answer."""
        head = await self.received.receive()
        self.status, self.headers = head["status"], dict(head["headers"])

    async def next(self) -> tuple[str, Any]:
        """Return the id and the data of the next event."""
        while True:
            block, found, rest = self._text.partition(b"\n\n")
            if found:
                self._text = rest
                if not block.startswith(b":"):
                    id, data = block.decode().split("\n")
                    return id.removeprefix("id: "), msgspec.json.decode(data.removeprefix("data: "))
            else:
                self._text += (await self.received.receive())["body"]


@asynccontextmanager
async def listening(app: ASGIApp, path: str, query: str = "", **headers: str) -> AsyncIterator[Listener]:
    async with anyio.create_task_group() as tasks:
        listener = Listener(app, path, headers, query)
        await tasks.start(listener.run)
        with listener.received:
            await listener.opened()
            yield listener
            listener.leave.set()


@pytest.mark.parametrize("face", CLIENTS)
def test_the_events_of_a_saga_come_in_order_and_go_on_where_a_visitor_was(
    face: str, server: Server, namespace: str
) -> None:
    async def body(client: Client) -> None:
        app = sagakit.web.app(client, authentication=Everyone())
        await client.start(Buy, "other", Order(), wait="ended")
        await client.start(Buy, "one", Order(asks=True), wait="started")
        async with listening(app, "/api/sagas/Buy/one/events", "after=start") as first:
            assert (first.status, first.headers[b"content-type"]) == (200, b"text/event-stream; charset=utf-8")
            assert b"content-length" not in first.headers
            seen = [await first.next() for _ in range(2)]
        assert [(data["key"], data["event"]) for _, data in seen] == [
            ("Buy.one", "started"),
            ("Buy.one", "step.reserve"),
        ]
        assert [id for id, _ in seen] == [data["position"] for _, data in seen]

        await client.signal(Buy, "one", Buy.approved, "ann")
        async with listening(app, "/api/sagas/Buy/one/events", **{"Last-Event-ID": seen[0][0]}) as again:
            assert await again.next() == seen[1]
            async with visiting(app) as http:
                with anyio.fail_after(60):
                    head = await http.head("/api/sagas/Buy/one/events")
            assert (head.status_code, head.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
            names = [(await again.next())[1]["event"] for _ in range(4)]
        assert names == ["signalled.approved", "step.approved", "step.charge", "completed"]

    with worker(server, namespace):
        CLIENTS[face](server.url, body, namespace=namespace)


def test_a_stream_that_cannot_begin_is_an_error_of_its_request(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "MOST", 1)

    async def body(client: Client) -> None:
        app = sagakit.web.app(client)
        await client.start(Buy, "one", Order(), wait="ended")
        for path, query, status in (
            ("/api/events", "after=no", 422),
            ("/api/events", "type=a.b", 404),
            ("/api/sagas/Buy/two/events", "", 404),
        ):
            async with listening(app, path, query) as refused:
                assert refused.status == status
        async with listening(app, "/api/events", "type=Buy&after=start") as first:
            await first.next()
            async with listening(app, "/api/events") as second:
                assert second.status == 503
        async with listening(app, "/api/events") as third:  # the place of the first one is free again
            assert third.status == 200

    with worker(server, namespace):
        CLIENTS["asyncio"](server.url, body, namespace=namespace)


class Ending:
    """A watch that ends with an error."""

    payloads = PLAIN_PAYLOADS

    def watch(self, *_: object, **options: object) -> Ending:
        return self

    async def __aenter__(self) -> Ending:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def __aiter__(self) -> Ending:
        return self

    async def __anext__(self) -> object:
        raise Unavailable("no answer")


async def test_a_stream_that_ends_with_an_error_of_the_store_is_no_fault_of_the_console(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ending: Any = Ending()
    async with listening(sagakit.web.app(ending), "/api/events") as one:
        with pytest.raises(anyio.EndOfStream):
            await one.next()
    assert (one.status, caplog.records) == (200, [])
