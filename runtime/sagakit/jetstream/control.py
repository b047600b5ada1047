"""Request and reply between workers and clients, over core NATS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from logging import ERROR, getLogger

import trio
from nats.aio.msg import Msg

from sagakit.jetstream.link import Link
from sagakit.naming import is_worker_id
from sagakit.ration import Ration
from sagakit.store.names import Names

_log = getLogger("sagakit.control")

WAITING = 1000
"""Requests that wait for the handler at most; the rest go unanswered."""
FAMILIES = (
    "saga", "sagain", "sagaop", "sagasys", "sagareply", "sagapark", "sagadead", "sagacmd", "sagactl", "sagaintake",
)  # fmt: skip
"""First tokens of the subjects that mean something here: nobody awaits an answer there.

See docs/architecture.md, "The wire".
"""


class CoreControl:
    """The port `Control`, over core NATS."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names
        self._unanswered = Ration(_log)
        self._odd = Ration(_log)

    async def request(self, worker_id: str, payload: bytes, *, timeout: float) -> bytes:
        """Ask a worker."""
        return await self._link.request(self._names.control_subject(worker_id), payload, timeout=timeout)

    @asynccontextmanager
    async def serve(self, worker_id: str, handler: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[None]:
        """Answer requests while the context is open; nats-py subscribes again after a reconnect."""
        send, receive = trio.open_memory_channel[Msg](WAITING)

        def on_request(msg: Msg) -> None:
            try:
                send.send_nowait(msg)
            except trio.WouldBlock:
                return

        async def answer_one(msg: Msg) -> None:
            try:
                answer = await handler(msg.data)
            except Exception as error:  # a request must not end the worker
                self._unanswered.say(ERROR, "%s: a request is not answered", msg.subject, exc_info=error)
            else:
                if self._may_be_answered(msg.reply):
                    self._link.tell(msg.reply, answer)

        async def answer(nursery: trio.Nursery) -> None:
            async for msg in receive:
                nursery.start_soon(answer_one, msg)

        subject = self._names.control_subject(worker_id)
        subscription = await self._link.subscriptions.hear(subject, on_request)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(answer, nursery)
                yield
                nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(1.0, shield=True):
                await self._link.subscriptions.end(subscription)

    def _may_be_answered(self, reply: str) -> bool:
        """Return False for a subject on which the asker might not publish, as a bucket's: we have a worker's rights."""
        ours = tuple(self._names.subject(f"{head}.") for head in FAMILIES)
        return bool(reply) and not reply.startswith(("$", *ours))

    def announce(self, saga_types: Sequence[str], worker_id: str) -> None:
        """Tell the workers that know any of these types."""
        for saga_type in saga_types:
            self._link.tell(self._names.adopt_subject(saga_type), worker_id.encode())

    @asynccontextmanager
    async def announced(self, saga_types: Sequence[str], heard: Callable[[str], None]) -> AsyncIterator[None]:
        """Call `heard` with what is announced, while the context is open."""

        def on_announced(msg: Msg) -> None:
            worker_id = msg.data.decode("ascii", "replace")
            if is_worker_id(worker_id):
                heard(worker_id)
            else:
                self._odd.say(ERROR, "%s: not a worker's id: %.100r", msg.subject, msg.data)

        subscriptions = [
            await self._link.subscriptions.hear(self._names.adopt_subject(saga_type), on_announced)
            for saga_type in saga_types
        ]
        try:
            yield
        finally:
            with trio.move_on_after(1.0, shield=True):
                for subscription in subscriptions:
                    await self._link.subscriptions.end(subscription)
