"""Every public call of a client with every option, and what type checkers know of its result. Never run.

`make check` reads it: `assert_type` is an error for `Any`, too. tests/test_typing.py says when a call is missing.
"""
# pyright: strict, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
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
    SagaEvent,
)
from sagakit.asyncio import AsyncioRuntime
from sagakit.repository.listing import History
from sagakit.store.permissions import Grant

from tests.definition.typing_nodes import Order, Ship

F = TypeVar("F", Client, ClientApi)
"""Checked for each."""


async def programs() -> None:
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
        lease_ttl=10.0,
    ) as client:
        assert_type(client, Client)
    async with sagakit.asyncio.open_client("nats://localhost", namespace="shop") as client:
        assert_type(client, Client)
    async with sagakit.open_client("nats://localhost", max_active=1):  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        pass


async def calls(client: F, order: Order) -> None:
    handle = await client.start(
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
    both = await client.start_with_signal(Ship, "1", order, Ship.paid, 7, message_id="m")
    assert_type(both, Handle[str])
    assert_type(await client.execute(Ship, None, order), Completed[str] | Failed)
    assert_type(await client.get(Ship, "1"), Handle[str])
    assert_type(await client.load(Ship, "1"), PersistedSagaState[msgspec.Raw])
    assert_type(await client.record("Ship.1"), PersistedSagaState[msgspec.Raw])
    assert_type(await client.ended("Ship.1", or_stuck=True), PersistedSagaState[msgspec.Raw])
    page = await client.list(
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
    assert_type(await client.history(Ship, "1"), History)
    assert_type(await client.describe(Ship, "1"), Description)
    await client.signal(Ship, "1", Ship.paid, 7, message_id="m")
    verdict = await client.apply(
        "Ship.1", "cancel", reason="r", by="me", step="pack", payload=msgspec.Raw(b"1"), id="i"
    )
    assert_type(verdict, str)
    await client.compensate(Ship, "1", "r")


async def of_a_client_alone(client: Client, order: Order) -> None:
    handle = await client.start(Ship, "1", order, wait="started")
    assert_type(handle, Handle[str])
    assert_type((await client.wait_any(handle)).id, str)
    assert_type(await client.check("operator"), Sequence[Grant])
    watch = client.watch(Ship, "1", after="start")
    assert_type(watch, AbstractAsyncContextManager[AsyncIterator[SagaEvent]])
    async with watch as events:
        async for event in events:
            of_an_event(event)
    _ = await client.start(Ship, "1", 7)  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]
    _ = await client.start(Ship, "1", order, wait="begun")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def of_an_event(event: SagaEvent) -> None:
    assert_type(event.type, str)
    assert_type(event.saga_id, str)
    assert_type(event.position, str)


def of_the_protocol(client: Client, trio: Runtime, asyncio: AsyncioRuntime) -> list[ClientApi]:
    return [client, trio, asyncio]
