"""Every public call of `sagakit` with every option, and what type checkers know of its result. Never run.

`make check` reads it: `assert_type` is an error for `Any`, too. tests/test_typing.py says when a call is missing.
"""
# mypy: disable-error-code="empty-body"
# pyright: strict, reportUnusedClass=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar, assert_type

import msgspec
import sagakit
import sagakit.asyncio
from sagakit import (
    Client,
    ClientApi,
    Command,
    CommandMessage,
    Completed,
    Compressed,
    Config,
    Description,
    Failed,
    Handle,
    Outcome,
    Page,
    PayloadCodec,
    PayloadPlace,
    PersistedSagaState,
    Runtime,
    RuntimeApi,
    SagaExecutor,
    SagaInfo,
    SagaStatus,
    SagaStuck,
    Sealed,
)
from sagakit.asyncio import AsyncioRuntime
from sagakit.client.metrics import MetricReading
from sagakit.definition.payloads import Payloads
from sagakit.encryption import Encrypted
from sagakit.engine import Record
from sagakit.repository.listing import History
from sagakit.system.given_options import RuntimeOptions
from sagakit.tracing import Tracing

from tests.definition.typing_nodes import Order, Ship

OPTIONS: RuntimeOptions = {
    "namespace": "shop",
    "claim_above": 100_000,
    "user": None,
    "password": None,
    "token": None,
    "credentials": None,
    "nkeys_seed": None,
    "tls_ca": None,
    "tls_cert": None,
    "tls_key": None,
    "tls_first": False,
    "inbox_prefix": "_INBOX",
    "domain": "hub",
    "api_prefix": None,
    "worker_name": "shop",
    "shards": 1,
    "replicas": None,
    "storage": "file",
    "state_max_bytes": None,
    "archive_ttl": 1.0,
    "marker_ttl": 1.0,
    "events_ttl": None,
    "max_active": 1,
    "passivate_after": 1.0,
    "mailbox_capacity": 8,
    "max_threads": 1,
    "max_unacked": 1,
    "max_unacked_bytes": 1,
    "ack_timeout": 1.0,
    "connect_timeout": 1.0,
    "lease_ttl": 6.0,
    "scan_interval": 1.0,
    "stall_timeout": 1.0,
    "max_isolated_crashes": 1,
    "gc_threshold": 0,
    "drain_timeout": 1.0,
    "max_restarts": 1,
    "restart_period": 1.0,
    "sync": "relaxed",
    "group_commit": "on",
}


def id_of(message: CommandMessage) -> str:
    return f"{message.attributes['source']}-{message.headers['Order']}"


PLACED = Command("orders.ship", Ship, id=id_of, input="order", start="all", stream="ORDERS")
assert_type(PLACED.name, str)
assert_type(PLACED.id_field, str)
assert_type(PLACED.value_field, str | None)
COMMANDS = [
    PLACED,
    Command("orders.paid", Ship, id="order.id", input=lambda message: message.data["cents"], signal=Ship.paid, start=7),
    Command("orders.here", Ship, id="id", start="all", stream=None),
    Command("orders.off", Ship, id="id", cancel=True, start=datetime(2026, 3, 1, tzinfo=UTC)),
]
F = TypeVar("F", Runtime, AsyncioRuntime, RuntimeApi, Client, ClientApi)
"""Checked for each: the methods that runtimes and clients share."""
R = TypeVar("R", Runtime, AsyncioRuntime, RuntimeApi)
"""Checked for each: the methods that only runtimes have."""


def of_options() -> None:
    assert_type(Config.of({"lease_ttl": 6.0}), Config)
    assert_type(Config.from_env({}, lease_ttl=6.0), Config)
    assert_type(Config.from_toml("sagakit.toml", lease_ttl=6.0), Config)
    assert_type(Config.load("sagakit.toml", {}, lease_ttl=6.0), Config)
    assert_type(Config.describe(), list[tuple[str, str, object]])
    config = Config(
        **OPTIONS,
    )
    assert_type(config.lease_ttl, float)


def a_script(order: Order) -> None:
    done = sagakit.run(
        Ship(),
        "1",
        order,
        url="embedded:",
        payload_codec=CODEC,
        **OPTIONS,
    )
    assert_type(done, Outcome[str])
    assert_type(done, Completed[str] | Failed)
    try:
        sagakit.run(Ship(), None, order)
    except SagaStuck as stuck:
        assert_type(str(stuck), str)


CODEC = [Compressed(above=2048), Encrypted({"2026": b"0" * 32}, current="2026")]


class Mine(PayloadCodec):
    name: str = "mine"

    def encode(self, data: bytes, place: PayloadPlace) -> Sealed | None:
        assert_type((place.saga_type, place.saga_id, place.part, place.digest), tuple[str, str, str, str])
        assert_type(place.associated_data, bytes)
        return Sealed(data, key="1") if data else None

    def decode(self, sealed: Sealed, place: PayloadPlace) -> bytes:
        assert_type(sealed.key, str)
        return sealed.data


async def a_trio_program(config: Config, tracing: Tracing) -> None:
    async with sagakit.open_runtime(
        "nats://localhost",
        sagas=[Ship()],
        config=config,
        host_loop=asyncio.get_running_loop(),
        adopt=True,
        commands=COMMANDS,
        tracing=tracing,
        payload_codec=CODEC,
        **OPTIONS,
    ) as runtime:
        assert_type(runtime, Runtime)
    async with sagakit.open_runtime("memory:", sagas=[Ship()], payload_codec=Mine()) as runtime:
        assert_type(runtime, Runtime)
    async with sagakit.open_runtime("memory:", sagas=[Ship()], lease_tll=1.0):  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        pass
    async with sagakit.open_runtime("memory:", sagas=[Ship()], shards="1"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pass


async def an_asyncio_program(config: Config, tracing: Tracing) -> None:
    async with sagakit.asyncio.open_runtime(
        "embedded:",
        sagas=[Ship()],
        config=config,
        adopt=False,
        commands=COMMANDS,
        tracing=tracing,
        payload_codec=CODEC,
        **OPTIONS,
    ) as runtime:
        assert_type(runtime, AsyncioRuntime)


def of_a_codec(codec: PayloadCodec, place: PayloadPlace) -> None:
    assert_type(codec.name, str)
    sealed = codec.encode(b"1", place)
    assert_type(sealed, Sealed | None)
    if sealed is not None:
        assert_type(codec.decode(sealed, place), bytes)


async def calls(sagas: F, order: Order) -> None:
    _: Payloads = sagas.payloads
    handle = await sagas.start(
        Ship,
        "1",
        order,
        correlation_id="a",
        causation_id="b",
        trace={"traceparent": "c"},
        attributes={"city": "Rome"},
        id_conflict="error",
        message_id="m",
        at=datetime.now(UTC),
        after=timedelta(days=1),
    )
    assert_type(handle, Handle[str])
    both = await sagas.start_with_signal(
        Ship,
        "1",
        order,
        Ship.paid,
        7,
        correlation_id="a",
        causation_id="b",
        trace={"traceparent": "c"},
        attributes={"city": "Rome"},
        id_conflict="error",
        message_id="m",
        at=datetime.now(UTC),
        after=timedelta(days=1),
    )
    assert_type(both, Handle[str])
    assert_type(await sagas.execute(Ship, None, order), Completed[str] | Failed)
    assert_type(await sagas.get(Ship, "1"), Handle[str])
    assert_type(await sagas.load(Ship, "1"), PersistedSagaState[msgspec.Raw])
    assert_type(await sagas.record("Ship.1"), PersistedSagaState[msgspec.Raw])
    assert_type(await sagas.ended("Ship.1", or_stuck=True), PersistedSagaState[msgspec.Raw])
    page = await sagas.list(
        status="stuck",
        type=Ship,
        attributes={"city": "Rome"},
        created_after=1.0,
        created_before=datetime.now(UTC),
        where="status = stuck",
        limit=10,
        cursor=None,
    )
    assert_type(page, Page)
    assert_type(page.items, Sequence[SagaInfo])
    assert_type(await sagas.history(Ship, "1"), History)
    assert_type(await sagas.describe(Ship, "1"), Description)
    await sagas.signal(Ship, "1", Ship.paid, 7, reason="seen", by="ann", message_id="m")
    verdict = await sagas.apply("Ship.1", "cancel", reason="r", by="me", step="pack", payload=msgspec.Raw(b"1"), id="i")
    assert_type(verdict, str)
    await sagas.compensate(Ship, "1", "r")


async def of_a_runtime_alone(runtime: R, found: Sequence[SagaInfo]) -> None:
    assert_type(await runtime.list_active(), Sequence[str])
    done = await runtime.bulk("cancel", found, reason="r", by="me", dry_run=True)
    assert_type(done, Sequence[tuple[SagaInfo, str]])
    await runtime.delete(Ship, "1")
    await runtime.scan()
    await runtime.drain()
    assert_type(runtime.metrics(), Mapping[str, float])
    assert_type(runtime.readings(), Sequence[MetricReading])


def of_the_faces(trio: Runtime, asyncio: AsyncioRuntime, api: RuntimeApi) -> None:
    assert_type(trio.worker_id, str)
    assert_type(trio.config, Config)
    assert_type(trio.ready, bool)
    assert_type(trio.passivated, int)
    assert_type(trio.messages_sent, int)
    assert_type(asyncio.worker_id, str)
    assert_type(asyncio.config, Config)
    assert_type(asyncio.ready, bool)
    assert_type(asyncio.passivated, int)
    assert_type(asyncio.messages_sent, int)
    assert_type(api.worker_id, str)
    assert_type(api.config, Config)
    assert_type(api.ready, bool)
    assert_type(api.passivated, int)
    assert_type(api.messages_sent, int)


async def of_an_executor(executor: SagaExecutor, order: Order) -> None:
    assert_type(await executor.start(Ship, "1", order), Handle[str])
    assert_type(await executor.load(Ship, "1"), Record)
    assert_type(await executor.execute(Ship, "1", order), Completed[str] | Failed)
    await executor.compensate(Ship, "1", "r")
    assert_type(await executor.list_active(), Sequence[str])
    await executor.delete(Ship, "1")


async def of_a_handle(handle: Handle[str], runtime: Runtime) -> None:
    assert_type(handle.id, str)
    assert_type(handle.key, str)
    assert_type(handle.through(runtime), Handle[str])
    assert_type(await handle.outcome(), Completed[str] | Failed)
    assert_type(await handle.result(), str)
    assert_type(await handle.wait(or_stuck=True), SagaStatus)
    assert_type(await handle.describe(), Description)
    await handle.cancel("r", by="me", message_id="m")
    await handle.retry("r", by="me", message_id="m")
    await handle.mark_undone("pack", "r", by="me", message_id="m")
    await handle.complete_step(Ship.pack, "box", "r", by="me", message_id="m")
    await handle.compensate("r", by="me", message_id="m")
    await handle.terminate("r", by="me", message_id="m")
    assert_type(await handle.report("pack", "box", message_id="m"), bool)
