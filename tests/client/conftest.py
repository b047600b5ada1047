"""Fixtures: a client under asyncio and under trio, with a worker and alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from sagakit import Client

from tests.client.faces import CLIENTS, worker
from tests.servers import Server

Body = Callable[[Client], Awaitable[None]]
OnClient = Callable[..., None]


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
