"""Events of sagas as server-sent events, resumed by `Last-Event-ID`. The id of an event is its position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sagakit.client.bare_errors import bare_errors
from sagakit.client.json_lines import watch_line
from sagakit.client.redaction import NO_REDACTION, Redaction
from sagakit.client.watching import SagaEvent
from sagakit.naming import is_name
from sagakit.web.looking import address_of, redaction_of
from sagakit.web.problems import RETRY_AFTER, Problem

if TYPE_CHECKING:
    from sagakit.client.client import Client

BEAT = 15.0
"""Seconds between two comments that show that the stream lives, also to proxies on the way."""
MOST = 100
"""Streams of one app at the same time: each costs the server a consumer."""


async def watch_saga(request: Request, client: Client) -> Response:
    """Return the events of one saga as they come, as server-sent events."""
    address = address_of(request)
    await client.record(str(address))
    return EventStream(request, client, address.saga_type, address.saga_id)


async def watch_sagas(request: Request, client: Client) -> Response:
    """Return the events of all sagas, or of one type, as they come, as server-sent events."""
    saga_type = request.query_params.get("type") or None
    if saga_type is not None and not is_name(saga_type):
        raise Problem(404, "UnknownType", f"{saga_type[:80]!r} is not the name of a saga type")
    return EventStream(request, client, saga_type, None)


class EventStream(Response):
    """An answer that goes on until the visitor leaves, or the server stops."""

    def __init__(self, request: Request, client: Client, saga_type: str | None, saga_id: str | None) -> None:
        after = request.headers.get("last-event-id") or request.query_params.get("after") or None
        self._redaction = redaction_of(request)
        self._events = client.watch(saga_type, saga_id, after=after)
        self._open: set[object] = request.scope["sagakit.streams"]
        if len(self._open) >= MOST:
            raise Problem(503, "TooManyStreams", f"{MOST} streams are open: try later", headers=RETRY_AFTER)
        self._lock = anyio.Lock()
        super().__init__(media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        self._open.add(self)
        try:
            async with self._events as events:  # before the headers: a wrong position is an error of the request
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                if scope["method"] == "HEAD":
                    await send({"type": "http.response.body"})
                    return
                with bare_errors():
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._beat, send)
                        tasks.start_soon(_until_left, receive, tasks.cancel_scope)
                        async for event in events:
                            await self._put(send, event_text(event, self._redaction))
        finally:
            self._open.discard(self)

    async def _beat(self, send: Send) -> None:
        while True:
            await self._put(send, b": here\n\n")
            await anyio.sleep(BEAT)

    async def _put(self, send: Send, text: bytes) -> None:
        async with self._lock:
            await send({"type": "http.response.body", "body": text, "more_body": True})


async def _until_left(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def event_text(found: SagaEvent, redaction: Redaction = NO_REDACTION) -> bytes:
    """Return an event in the form of the stream. JSON has no line breaks, so it is one line of data."""
    line = watch_line(found.position, redaction.event(found.event))
    return b"id: %b\ndata: %b\n\n" % (found.position.encode(), msgspec.json.encode(line))
