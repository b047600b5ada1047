"""A TCP proxy between one worker and the cluster, which can be cut, half-open, slow or healed."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import trio

CHUNK = 65536
RESET = struct.pack("ii", 1, 0)
"""Value of SO_LINGER that makes a close send RST."""


class Proxy:
    """A proxy with one listener for each upstream port. For tasks of the trio thread that opened it."""

    def __init__(self, upstream: Sequence[int]) -> None:
        self._upstream = list(upstream)
        self.ports: list[int] = []
        self._flows = trio.Event()
        self._flows.set()
        self._cut = False
        self._latency = 0.0
        self._open: set[trio.SocketStream] = set()
        self.connections: int = 0

    @property
    def url(self) -> str:
        """URL of the cluster as seen through the proxy."""
        return ",".join(f"nats://127.0.0.1:{port}" for port in self.ports)

    def cut(self) -> None:
        """Reset every connection, and each new one at once."""
        self._cut = True
        for stream in list(self._open):
            _reset(stream)

    def half_open(self) -> None:
        """Accept and keep everything, forward nothing. Data that is sent meanwhile arrives after the healing."""
        self._flows = trio.Event()

    def slow(self, seconds: float) -> None:
        """Hold every piece back for that long, in both directions."""
        self._latency = seconds

    def heal(self) -> None:
        """Be a plain proxy again."""
        self._cut = False
        self._latency = 0.0
        self._flows.set()

    async def _accept(self, port: int, client: trio.SocketStream) -> None:
        self.connections += 1
        await self._flows.wait()
        if self._cut:
            _reset(client)
            return
        try:
            server = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            _reset(client)
            return
        self._open |= {client, server}
        try:
            async with client, server, trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, client, server, nursery.cancel_scope)
                nursery.start_soon(self._pump, server, client, nursery.cancel_scope)
        finally:
            self._open -= {client, server}

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
        """Forward one direction to its end; a reset at either side ends both."""
        send, receive = trio.open_memory_channel[tuple[float, bytes]](64)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver, receive, sink, both)
            try:
                while chunk := await source.receive_some(CHUNK):
                    await send.send((trio.current_time() + self._latency, chunk))
                send.close()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await self._flows.wait()  # a reset cannot be noticed while the line is dead
                both.cancel()

    async def _deliver(
        self, receive: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.SocketStream, both: trio.CancelScope
    ) -> None:
        try:
            async for due, chunk in receive:
                await trio.sleep_until(due)
                await self._flows.wait()
                await sink.send_all(chunk)
            await self._flows.wait()
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            both.cancel()


def _reset(stream: trio.SocketStream) -> None:
    with suppress(OSError):
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    stream.socket.close()


@asynccontextmanager
async def running_proxy(upstream: Sequence[int]) -> AsyncIterator[Proxy]:
    """Open a proxy for these ports of the loopback, on free ports in the same order."""
    proxy = Proxy(upstream)
    async with trio.open_nursery() as nursery:
        for port in upstream:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            proxy.ports.append(listeners[0].socket.getsockname()[1])

            async def accept(client: trio.SocketStream, port: int = port) -> None:
                await proxy._accept(port, client)

            nursery.start_soon(trio.serve_listeners, accept, listeners)
        yield proxy
        nursery.cancel_scope.cancel()
