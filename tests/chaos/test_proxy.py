"""Tests of the proxy.

No time is asserted: the first data that arrives shows that the later data did not come earlier.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from tests.chaos.proxy import Proxy, running_proxy


@asynccontextmanager
async def echo_behind_a_proxy() -> AsyncIterator[tuple[Proxy, list[bytes]]]:
    """Run a server that echoes its input and writes it down, behind a proxy."""
    heard: list[bytes] = []

    async def echo(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # a cut resets this side, too
            async for chunk in stream:
                heard.append(bytes(chunk))
                await stream.send_all(chunk)

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, echo, [listener])
        async with running_proxy([listener.socket.getsockname()[1]]) as proxy:
            with trio.fail_after(60):
                yield proxy, heard
        nursery.cancel_scope.cancel()


async def connect(proxy: Proxy) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", proxy.ports[0])


async def answered(stream: trio.SocketStream, word: bytes) -> bool:
    await stream.send_all(word)
    return bool(await stream.receive_some() == word)


async def test_the_proxy_forwards() -> None:
    async with echo_behind_a_proxy() as (proxy, _), await connect(proxy) as stream:
        assert await answered(stream, b"one")
        assert await answered(stream, b"two")


async def test_a_cut_resets_open_and_new_connections_until_it_is_healed() -> None:
    async with echo_behind_a_proxy() as (proxy, _):
        async with await connect(proxy) as old:
            assert await answered(old, b"one")
            proxy.cut()
            with pytest.raises(trio.BrokenResourceError):
                await old.receive_some()
        async with await connect(proxy) as new:
            with pytest.raises(trio.BrokenResourceError):
                await new.receive_some()
        proxy.heal()
        async with await connect(proxy) as healed:
            assert await answered(healed, b"two")


async def test_half_open_keeps_everything_and_forwards_it_once_healed() -> None:
    async with echo_behind_a_proxy() as (proxy, heard), await connect(proxy) as old:
        assert await answered(old, b"one")
        proxy.half_open()
        await old.send_all(b"held")
        async with await connect(proxy) as new:  # is accepted
            await new.send_all(b"held, too")
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert heard == [b"one"]
            proxy.heal()
            assert await old.receive_some() == b"held"
            assert await new.receive_some() == b"held, too"


async def test_half_open_hides_that_one_end_is_gone() -> None:
    async with echo_behind_a_proxy() as (proxy, _), await connect(proxy) as stream:
        assert await answered(stream, b"one")
        proxy.half_open()
        await stream.send_all(b"last words")
        await stream.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.1)
        proxy.heal()
        assert await stream.receive_some() == b"last words"


async def test_latency_keeps_the_order() -> None:
    async with echo_behind_a_proxy() as (proxy, heard), await connect(proxy) as stream:
        proxy.slow(0.1)
        await stream.send_all(b"a")
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert heard == []
        proxy.slow(0.0)
        await stream.send_all(b"b")
        answer = b""
        while len(answer) < 2:
            answer += await stream.receive_some()
        assert (answer, b"".join(heard)) == (b"ab", b"ab")
