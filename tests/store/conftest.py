from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from sagakit.jetstream.asyncio_side import VARIABLE
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.store import open_jetstream
from sagakit.store import Names, Store
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer

from tests.conftest import LOOPS
from tests.servers import Server
from tests.store.wires import OnWire, on_asyncio, on_trio

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]


@pytest.fixture(params=[*(f"{loop} 1" for loop in LOOPS), f"{LOOPS[0]} 3", "memory 1", "memory 3"])
def open_store(
    request: pytest.FixtureRequest, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> OpenStore:
    """Opens the same store again and again: real, on each kind of loop, and fake, with one shard and with three."""
    kind, shards = request.param.split()
    monkeypatch.setenv(VARIABLE, "" if kind == "memory" else kind)
    names = Names(namespace=namespace, shards=int(shards))
    memory = MemoryServer()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        if kind == "memory":
            async with open_memory(memory, names=names) as fake:
                yield fake
        else:
            async with open_jetstream(Connection(servers=(server.url,)), names=names) as real:
                yield real

    return opened


@pytest.fixture(params=["asyncio", *(f"trio {loop}" for loop in LOOPS)])
def on_wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> OnWire:
    """Runs a test on one kind of wire."""
    kind, _, loop = request.param.partition(" ")
    monkeypatch.setenv(VARIABLE, loop)
    return on_trio if kind == "trio" else on_asyncio
