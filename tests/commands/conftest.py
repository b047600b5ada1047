"""The fixture of the tests of commands: a stream of a user's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sagakit import Config
from sagakit.jetstream.link_wire import LinkWire
from sagakit.system.open_store import open_store

from tests.commands.field import Field
from tests.servers import Server


@pytest.fixture(params=["users", "own"])
async def field(server: Server, namespace: str, request: pytest.FixtureRequest) -> AsyncIterator[Field]:
    async with open_store(server.url, Config(namespace=namespace)) as store:
        wire = LinkWire(store._link)  # type: ignore[attr-defined]
        yield await Field.made(server, namespace, wire, own=request.param == "own")


@pytest.fixture
async def users(server: Server, namespace: str) -> AsyncIterator[Field]:
    async with open_store(server.url, Config(namespace=namespace)) as store:
        yield await Field.made(server, namespace, LinkWire(store._link))  # type: ignore[attr-defined]
