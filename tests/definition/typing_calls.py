"""Every public call with every option: what type checkers know of what it returns. Never run: `make check` reads it.

`assert_type` is an error for `Any`, too.
"""
# mypy: disable-error-code="empty-body"
# pyright: strict, reportUnusedClass=false, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import assert_type

import msgspec
import sagakit
import sagakit.asyncio
from sagakit import (
    Completed,
    Config,
    Ctx,
    Failed,
    Handle,
    Page,
    PersistedSagaState,
    Runtime,
    Saga,
    SagaInfo,
    signal,
    step,
)
from sagakit.asyncio import AsyncioRuntime


class Order(msgspec.Struct):
    number: int


class Ship(Saga[Order, str]):
    paid = signal(int, timeout=timedelta(days=1))

    @step
    async def pack(self, order: Order, ctx: Ctx) -> str: ...

    @pack.compensate
    async def unpack(self, order: Order, packed: str | None, ctx: Ctx) -> None: ...


def a_script(order: Order) -> None:
    assert_type(
        sagakit.run(Ship(), "1", order, url="embedded:", namespace="shop", lease_ttl=6.0), Completed[str] | Failed
    )


async def a_trio_program(config: Config) -> None:
    async with sagakit.open_runtime(
        "nats://localhost",
        sagas=[Ship()],
        config=config,
        host_loop=None,
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
        worker_name="shop",
        shards=1,
        replicas=None,
        storage="file",
        state_max_bytes=None,
        archive_ttl=1.0,
        marker_ttl=1.0,
        events_ttl=None,
        max_active=1,
        rest_after=1.0,
        mailbox=8,
        threads=1,
        window=1,
        window_bytes=1,
        ack_timeout=1.0,
        connect_timeout=1.0,
        lease_ttl=6.0,
        scan_interval=1.0,
        stall_timeout=1.0,
        max_recoveries=1,
        gc_threshold=0,
        grace=1.0,
        restarts=1,
        restart_period=1.0,
        sync="relaxed",
    ) as runtime:
        assert_type(runtime, Runtime)
    async with sagakit.open_runtime("memory:", sagas=[Ship()], lease_tll=1.0):  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        pass
    async with sagakit.open_runtime("memory:", sagas=[Ship()], shards="1"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pass


async def an_asyncio_program(config: Config) -> None:
    async with sagakit.asyncio.open_runtime("embedded:", sagas=[Ship()], config=config, grace=1.0) as runtime:
        assert_type(runtime, AsyncioRuntime)


async def calls(runtime: Runtime, order: Order) -> None:
    handle = await runtime.start(
        Ship, "1", order, correlation_id="a", causation_id="b", trace={"traceparent": "c"}, attributes={"city": "Rome"}
    )
    assert_type(handle, Handle[str])
    assert_type(await runtime.execute(Ship, None, order), Completed[str] | Failed)
    assert_type(await runtime.get(Ship, "1"), Handle[str])
    assert_type(await runtime.load(Ship, "1"), PersistedSagaState[msgspec.Raw])
    assert_type(await runtime.record("Ship.1"), PersistedSagaState[msgspec.Raw])
    assert_type(await runtime.ended("Ship.1", or_stuck=True), PersistedSagaState[msgspec.Raw])
    page = await runtime.list(
        status="stuck",
        type=Ship,
        attributes={"city": "Rome"},
        created_after=1.0,
        created_before=2.0,
        limit=10,
        cursor=None,
    )
    assert_type(page, Page)
    assert_type(page.items, Sequence[SagaInfo])
    assert_type((await runtime.history(Ship, "1")).record, PersistedSagaState[msgspec.Raw])
    assert_type(await runtime.list_active(), Sequence[str])
    await runtime.signal(Ship, "1", Ship.paid, 7)
    assert_type(await runtime.apply("Ship.1", "cancel", reason="r", by="me", id="i"), str)
    done = await runtime.bulk("cancel", page.items, reason="r", by="me", dry_run=True)
    assert_type(done, Sequence[tuple[SagaInfo, str]])
    await runtime.compensate(Ship, "1", "r")
    await runtime.delete(Ship, "1")
    await runtime.scan()
    await runtime.drain()
    assert_type(runtime.metrics(), Mapping[str, float])
    assert_type(runtime.worker_id, str)
    assert_type(runtime.config, Config)
    assert_type(runtime.ready, bool)
    assert_type(runtime.resting, int)


async def of_a_handle(handle: Handle[str]) -> None:
    assert_type(await handle.outcome(), Completed[str] | Failed)
    assert_type(await handle.settled(), PersistedSagaState[msgspec.Raw])
    assert_type(await handle.record(), PersistedSagaState[msgspec.Raw])
    await handle.cancel("r")
    await handle.retry("r", by="me")
    await handle.mark_undone("pack", "r", by="me")
    await handle.complete_step("pack", "box", "r", by="me")
    await handle.compensate("r", by="me")
    await handle.terminate("r", by="me")
    assert_type(await handle.report("pack", "box"), bool)
