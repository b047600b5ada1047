"""Visits to an app under test: over httpx without a socket, on either face; and a client that must not be reached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import sagakit.web
from sagakit import Client
from sagakit.web.visitors import Everyone
from starlette.types import ASGIApp

from tests.client.faces import CLIENTS, worker
from tests.servers import Server

Body = Callable[[httpx.AsyncClient, Client], Awaitable[None]]


@asynccontextmanager
async def visiting(app: ASGIApp, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Open a visitor of an app that listens nowhere."""
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", **options) as http:
        yield http


def visit(face: str, server: Server, namespace: str, body: Body, *sagas: Any, **options: Any) -> None:
    """Run a test on an app over a client of one face, with a worker beside it. Everyone is an admin named ann."""

    async def main(client: Client) -> None:
        given = {"authentication": Everyone("admin", name="ann"), "read_only": False, **options}
        async with visiting(sagakit.web.app(client, **given)) as http:
            await body(http, client)

    with worker(server, namespace, *sagas):
        CLIENTS[face](server.url, main, namespace=namespace)


class NoClient:
    """A client that is never reached: each use of it is an error."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the client was asked for {name}")


def no_client() -> Any:
    """Return a client that must not be reached."""
    return NoClient()
