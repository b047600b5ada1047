"""HTTP servers of commands: they end when they are left, whatever their visitors do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from sagakit.cli import listening

ASKED = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
FULL = 64 * 2**20
"""Bytes that no socket's buffers take."""


class Answering:
    """An app that answers with a body once it may go on."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.asked, self.goes_on, self.left = trio.Event(), trio.Event(), trio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            self.asked.set()
            await self.goes_on.wait()
            await send({"type": "http.response.body", "body": self._body})
        finally:
            self.left.set()

    @asynccontextmanager
    async def asked_by(self, visitor: trio.SocketStream) -> AsyncIterator[None]:
        """Serve while the context is open, to a visitor who has asked, and has read nothing."""
        with listening.listen("127.0.0.1:0", option="listen") as bound:
            async with listening.answering(bound, self):
                await visitor.socket.connect(bound.getsockname())
                await visitor.send_all(ASKED)
                await self.asked.wait()
                yield


async def test_a_server_ends_although_a_visitor_reads_nothing_of_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "GRACE", 0.0)
    app = Answering(bytes(FULL))
    with trio.fail_after(60):
        async with trio.SocketStream(trio.socket.socket()) as visitor, app.asked_by(visitor):
            app.goes_on.set()
            await trio.testing.wait_all_tasks_blocked()
    assert app.left.is_set()


async def test_an_answer_under_way_comes_to_its_end_before_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "GRACE", 60.0)
    app, got = Answering(b"the end"), bytearray()

    async def read() -> None:
        await trio.testing.wait_all_tasks_blocked()  # the server is about to end, and waits for the answer
        app.goes_on.set()
        async for part in visitor:
            got.extend(part)

    with trio.fail_after(60):
        async with (
            trio.SocketStream(trio.socket.socket()) as visitor,
            trio.open_nursery() as nursery,
            app.asked_by(visitor),
        ):
            nursery.start_soon(read)
    assert b"the end" in got
