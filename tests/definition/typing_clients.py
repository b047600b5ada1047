"""Every public call of a client with every option, and what type checkers know of its result. Never run.

See `typing_calls`.
"""
# pyright: strict, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar, assert_type

import msgspec
import sagakit
import sagakit.asyncio
from sagakit import (
    Client,
    ClientApi,
    Completed,
    Description,
    Failed,
    Handle,
    Page,
    PersistedSagaState,
    Runtime,
    RuntimeApi,
    SagaEvent,
    SagaInfo,
)
from sagakit.asyncio import AsyncioRuntime
from sagakit.client.metrics import MetricReading
from sagakit.repository.listing import History
from sagakit.store.permissions import Grant

from tests.definition.typing_nodes import Order, Ship

F = TypeVar("F", Client, ClientApi, Runtime, AsyncioRuntime, RuntimeApi)
R = TypeVar("R", Runtime, AsyncioRuntime, RuntimeApi)
"""Checked for each."""


async def a_trio_program() -> None:
    async with sagakit.open_client(
        "nats://localhost",
        namespace="shop",
        user=None,
        password=None,
        token=None,
        credentials=None,
        nkeys_seed=None,
        tls_ca=None,
        tls_cert=None,
        tls_key=None,
        tls_first=False,
        inbox_prefix="_INBOX",
        domain="hub",
        api_prefix=None,
        connect_timeout=1.0,
        ack_timeout=1.0,
        lease_ttl=6.0,
    ) as client:
        assert_type(client, Client)


async def an_asyncio_program() -> None:
    async with sagakit.asyncio.open_client(
        "nats://localhost",
        namespace="shop",
        user=None,
        password=None,
        token=None,
        credentials=None,
        nkeys_seed=None,
        tls_ca=None,
        tls_cert=None,
        tls_key=None,
        tls_first=False,
        inbox_prefix="_INBOX",
        domain="hub",
        api_prefix=None,
        connect_timeout=1.0,
        ack_timeout=1.0,
        lease_ttl=6.0,
    ) as client:
        assert_type(client, Client)


async def starts(sagas: F, order: Order) -> None:
    handle = await sagas.start(
        Ship, "1", order, correlation_id="a", causation_id="b", trace={"traceparent": "c"},
        attributes={"city": "Rome"}, id_conflict="error", message_id="m", at=datetime.now(UTC), after=timedelta(days=1),
    )  # fmt: skip
    assert_type(handle, Handle[str])
    both = await sagas.start_with_signal(
        Ship, "1", order, Ship.paid, 7, correlation_id="a", causation_id="b", trace={"traceparent": "c"},
        attributes={"city": "Rome"}, id_conflict="error", message_id="m", at=1.0, after=1.0,
    )  # fmt: skip
    assert_type(both, Handle[str])


async def calls(sagas: F, order: Order) -> None:
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
    await sagas.signal(Ship, "1", Ship.paid, 7, message_id="m")
    verdict = await sagas.apply("Ship.1", "cancel", reason="r", by="me", step="p", payload=msgspec.Raw(b"1"), id="i")
    assert_type(verdict, str)
    await sagas.compensate(Ship, "1", "r")


async def of_a_client(client: Client, order: Order, handle: Handle[str]) -> None:
    assert_type(await client.start(Ship, "1", order, wait="started"), Handle[str])
    await client.wait_any(handle, handle)
    assert_type(await client.check("client"), Sequence[Grant])
    async with client.watch(Ship, "1", after="start") as events:
        async for event in events:
            of_an_event(event)


def of_an_event(event: SagaEvent) -> None:
    assert_type(event.type, str)


def of_a_runtime(runtime: R) -> None:
    assert_type(runtime.readings(), Sequence[MetricReading])
