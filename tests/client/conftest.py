"""Fixtures: a client under asyncio and under trio, with a worker and alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from sagakit import Client, Config
from sagakit.system.open_store import open_store

from tests.client.faces import CLIENTS, worker
from tests.servers import Server

Body = Callable[[Client], Awaitable[None]]
OnClient = Callable[..., None]
OnStore = Callable[[Body], None]


@pytest.fixture(params=CLIENTS)
def face(request: pytest.FixtureRequest) -> OnClient:
    """Runs a test on a client, under asyncio or under trio."""
    return CLIENTS[request.param]


@pytest.fixture
def on_client(face: OnClient, server: Server, namespace: str) -> Callable[[Body], None]:
    """Runs a test on a client, with a worker beside it."""

    def run(body: Body) -> None:
        with worker(server, namespace):
            face(server.url, body, namespace=namespace)

    return run


@pytest.fixture
def on_store(face: OnClient, server: Server, namespace: str) -> OnStore:
    """Runs a test on a client, with buckets and streams and no worker."""

    def run(body: Body) -> None:
        async def make() -> None:
            async with open_store(server.url, Config(namespace=namespace)):
                pass

        trio.run(make)
        face(server.url, body, namespace=namespace)

    return run
