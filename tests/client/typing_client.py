"""Every public call of a client with every option, and what type checkers know of its result. Never run.

`make check` reads it: `assert_type` is an error for `Any`, too. tests/test_typing.py says when a call is missing.
"""
# pyright: strict, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import assert_type

import sagakit
import sagakit.asyncio
from sagakit import (
    Client,
    ClientApi,
    Handle,
    Runtime,
    SagaEvent,
)
from sagakit.asyncio import AsyncioRuntime
from sagakit.client.client_opening import ClientOptions
from sagakit.client.command_sending import CommandSender
from sagakit.definition import Plan, SagaSchema
from sagakit.store.names import Names
from sagakit.store.permissions import Grant
from sagakit.store.ports import Wire

from tests.definition.typing_nodes import Order, Ship

OPTIONS: ClientOptions = {
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
    "connect_timeout": 1.0,
    "ack_timeout": 1.0,
    "lease_ttl": 10.0,
}


async def programs() -> None:
    async with sagakit.open_client("nats://localhost", **OPTIONS) as client:
        assert_type(client, Client)
    async with sagakit.asyncio.open_client("nats://localhost", **OPTIONS) as client:
        assert_type(client, Client)
    async with sagakit.open_client("nats://localhost", payload_codec=[sagakit.Compressed()]) as client:
        assert_type(client, Client)
    async with sagakit.asyncio.open_client("nats://localhost", payload_codec=sagakit.Compressed(1)) as client:
        assert_type(client, Client)
    async with sagakit.open_client("nats://localhost", max_active=1):  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        pass


async def of_a_client_alone(client: Client, order: Order) -> None:
    handle = await client.start(Ship, "1", order, wait="started")
    assert_type(handle, Handle[str])
    assert_type((await client.wait_any(handle)).id, str)
    assert_type(await client.check("operator"), Sequence[Grant])
    assert_type(await client.schemas(), Mapping[str, SagaSchema])
    assert_type(await client.now(), float)
    assert_type(await client.plan_of(await client.load(Ship, "1")), Plan | None)
    assert_type(client.commands, CommandSender)
    assert_type(await client.commands.send("orders.place", order, id="1"), None)
    assert_type(client.wire, Wire)
    assert_type(client.names, Names)
    watch = client.watch(Ship, "1", after="start")
    assert_type(watch, AbstractAsyncContextManager[AsyncIterator[SagaEvent]])
    async with watch as events:
        async for event in events:
            of_an_event(event)
    _ = await client.start(Ship, "1", 7)  # type: ignore[misc]  # pyright: ignore[reportCallIssue, reportArgumentType]


def of_an_event(event: SagaEvent) -> None:
    assert_type(event.type, str)
    assert_type(event.saga_id, str)
    assert_type(event.position, str)


def of_the_protocol(client: Client, trio: Runtime, asyncio: AsyncioRuntime) -> list[ClientApi]:
    return [client, trio, asyncio]
