"""The contract of a store's queue of commands: durable once sent, once by id, in order, by endpoint."""

from __future__ import annotations

import msgspec
import pytest
from sagakit import Context, Saga, open_runtime, remote, step
from sagakit.errors import LayoutMissing
from sagakit.jetstream.store import JetStreamStore
from sagakit.store.memory import MemoryStore
from sagakit.store.ports import Store

from tests.servers import Server
from tests.store.conftest import OpenStore


async def queued(store: Store) -> list[tuple[str, bytes]]:
    """Return the commands that nobody has taken: subject and payload, in order."""
    if isinstance(store, MemoryStore):
        return [(store.names.command_subject(one.endpoint), one.payload) for one in store.commands.queued()]
    assert isinstance(store, JetStreamStore)
    stream = store.names.commands
    found: list[tuple[str, bytes]] = []
    while True:
        sequence = len(found) + 1
        request = msgspec.json.encode({"seq": sequence})
        answer = msgspec.json.decode(await store.wire.request(f"$JS.API.STREAM.MSG.GET.{stream}", request))
        if "error" in answer:
            return found
        data = msgspec.json.decode(msgspec.json.encode(answer["message"]["data"]), type=bytes)
        found.append((answer["message"]["subject"], data))


async def test_a_command_is_queued_once_by_its_id(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.commands.check()
        for _ in range(2):
            await store.commands.send("payments.charge", id="k/1", payload=b"1")
        await store.commands.send("shipping.ship", id="k/2", payload=b"2")
    async with open_store() as store:  # what was acknowledged outlives the connection
        await store.commands.send("payments.charge", id="k/1", payload=b"1")
        of = store.names.command_subject
        assert await queued(store) == [(of("payments.charge"), b"1"), (of("shipping.ship"), b"2")]


class Local(Saga[int, None]):
    @step(compensate=None)
    async def greet(self, number: int, ctx: Context) -> None:
        pass


class Distant(Saga[int, None]):
    charge = remote("payments.charge", str, send=lambda number, ctx: number, compensate=None)


async def test_a_store_of_an_older_version_has_no_queue_and_says_so_to_remote_steps_only(
    server: Server, namespace: str
) -> None:
    async with open_runtime(server.url, sagas=[Distant()], namespace=namespace) as runtime:
        store = runtime._store
        assert isinstance(store, JetStreamStore)
        await store.wire.request(f"$JS.API.STREAM.DELETE.{store.names.commands}")
    async with open_runtime(server.url, sagas=[Local()], namespace=namespace) as runtime:
        await runtime.execute(Local, "1", 7)
    with pytest.raises(LayoutMissing, match=r"SAGA_COMMANDS; run `sagakit setup` once"):
        async with open_runtime(server.url, sagas=[Distant()], namespace=namespace):
            pass
    async with open_runtime(server.url, sagas=[Local()], namespace=namespace) as runtime:
        store = runtime._store
        assert isinstance(store, JetStreamStore)
        await store.complete_layout()
    async with open_runtime(server.url, sagas=[Distant()], namespace=namespace):
        pass
