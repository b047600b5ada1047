"""The largest payload, which the server may change while a worker is connected: the worker follows."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.ports import free_port

from tests.servers import Server, running_server

MB = 1024 * 1024


@pytest.mark.parametrize("megabytes", [2, 0.5])
async def test_a_limit_that_is_reloaded_is_known_with_the_next_news_of_the_cluster(
    megabytes: float, tmp_path: Path
) -> None:
    """A reload alone is no news to nats-server (2.15): it says nothing on connections that there are."""
    route = free_port()
    first = f"server_name: first\ncluster {{ name: c, listen: 127.0.0.1:{route} }}\nmax_payload: {MB}"
    second = f"server_name: second\ncluster {{ name: c, listen: 127.0.0.1:-1, routes: [nats://127.0.0.1:{route}] }}"
    with running_server(tmp_path / "first", config=first, jetstream=None) as server:
        async with open_link(Connection(servers=(server.url,))) as link:
            assert link.max_payload == MB
            await reloaded(server, f"max_payload: {MB}", f"max_payload: {int(megabytes * MB)}")
            since = link.reconnected_at
            with running_server(tmp_path / "second", config=second, jetstream=None), trio.fail_after(60):
                while link.max_payload == MB:  # noqa: ASYNC110  # what is waited for sets no event
                    await trio.sleep(0.05)
            assert link.max_payload == megabytes * MB
            assert link.reconnected_at == since, "without a new connection"


async def reloaded(server: Server, old: str, new: str) -> None:
    """Return once the server has read its configuration again, with `new` in place of `old`."""
    config, log = server.folder / "nats.conf", server.folder / "nats.log"
    config.write_text(config.read_text().replace(old, new))
    server.signal(signal.SIGHUP)
    with trio.fail_after(60):
        while "Reloaded server configuration" not in log.read_text():  # noqa: ASYNC110  # another process writes it
            await trio.sleep(0.05)
