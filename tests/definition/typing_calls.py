"""Every public call of `sagakit` with every option, and what type checkers know of its result. Never run.

`make check` reads it: `assert_type` is an error for `Any`, too. tests/test_typing.py says when a call is missing.
"""
# mypy: disable-error-code="empty-body"
# pyright: strict, reportUnusedClass=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from logging import Logger, LoggerAdapter
from typing import Any, TypeVar, assert_type

import msgspec
import sagakit
import sagakit.asyncio
from sagakit import (
    FOREVER,
    CheckedStep,
    Child,
    Completed,
    Config,
    Ctx,
    Description,
    Done,
    EachStep,
    Failed,
    Handle,
    Limit,
    MaybeChild,
    MaybeEachStep,
    Node,
    NotDone,
    OldSaga,
    Outcome,
    Page,
    PersistedSagaState,
    Reject,
    Retry,
    RetryPolicy,
    Runtime,
    RuntimeApi,
    Saga,
    SagaExecutor,
    SagaInfo,
    SagaStuck,
    Signal,
    Step,
    Timer,
    Unreadable,
    child,
    each,
    signal,
    step,
    timer,
)
from sagakit.asyncio import AsyncioRuntime
from sagakit.client.listing import History
from sagakit.engine import Record, SagaStatus

F = TypeVar("F", Runtime, AsyncioRuntime, RuntimeApi)
"""Checked for each."""


class Order(msgspec.Struct):
    number: int


class Ship(Saga[Order, str]):
    paid = signal(int, timeout=timedelta(days=1))

    @step
    async def pack(self, order: Order, ctx: Ctx) -> str: ...

    @pack.compensate
    async def unpack(self, order: Order, packed: str | None, ctx: Ctx) -> None: ...


def always(order: Order, ctx: Ctx) -> bool: ...


class Pack(Saga[Order, int]):
    paid = signal(int, timeout=timedelta(days=1), on_timeout="compensate", after=[], when=always)
    sent = signal(int, timeout=timedelta(days=1), on_timeout="continue")
    named = signal(str)
    rest = timer(timedelta(days=1), after=[paid], when=always)
    until = timer(lambda order, ctx: datetime.now(UTC))

    @step
    async def pack(self, order: Order, ctx: Ctx) -> str: ...

    @pack.compensate(retry=FOREVER, timeout=timedelta(minutes=1))
    async def unpack(self, order: Order, packed: str | None, ctx: Ctx) -> None: ...

    @step(
        pack,
        on_unknown="check",
        when=always,
        after=[rest, until],
        compensate=None,
        retry=RetryPolicy(
            attempts=3, first=timedelta(1), factor=2.0, most=timedelta(2), reject_on=(OSError,), not_done_on=()
        ),
        timeout=timedelta(minutes=1),
        pivot=True,
        backend="asyncio",
        limit=Limit("mail", at_once=2, per_second=1.5),
        heartbeat=timedelta(seconds=1),
    )
    async def send(self, order: Order, packed: str, ctx: Ctx) -> bytes: ...

    @send.check
    async def was_sent(self, order: Order, ctx: Ctx) -> Done[bytes | None] | NotDone | None: ...

    @step(on_unknown="ask")
    async def ask(self, order: Order, ctx: Ctx) -> int: ...

    @ask.compensate(retry=FOREVER, timeout=timedelta(minutes=1))
    async def unask(self, order: Order, asked: int, ctx: Ctx) -> None: ...

    @each(lambda order, ctx: [1, 2])
    async def label(self, order: Order, item: int, ctx: Ctx) -> str: ...

    @label.compensate(retry=FOREVER, timeout=timedelta(minutes=1))
    async def unlabel(self, order: Order, item: int, label: str | None, ctx: Ctx) -> None: ...

    @each(
        pack,
        list,
        parallel=2,
        on_unknown="undo",
        after=[rest],
        when=always,
        compensate=None,
        retry=FOREVER,
        timeout=timedelta(1),
        backend="trio",
        limit=None,
    )
    async def letter(self, order: Order, item: str, ctx: Ctx) -> str: ...

    def output(self, input: Order, ctx: Ctx) -> int:
        assert_type(ctx.result(Pack.pack), str)
        assert_type(ctx.result(Pack.send), bytes | None)
        assert_type(ctx.result(Pack.label), Sequence[str])
        assert_type(ctx.result(Pack.letter), Sequence[str] | None)
        assert_type(ctx.result(Pack.paid), int | None)
        assert_type(ctx.result(Pack.rest), None)
        ctx.heartbeat()
        assert_type(ctx.log, LoggerAdapter[Logger])
        return 1

    def migrate(self, old: OldSaga) -> None:
        assert_type(old.steps, list[str])
        assert_type(old.state("pack"), str)
        old.rename("pack", Pack.pack)
        old.drop("pack")
        old.set_result("pack", "box")


class Both(Saga[Order, None]):
    first = child(Pack, lambda order, ctx: order, after=[], pivot=True)
    second = child(Pack, lambda order, ctx: order, when=always)


def of_nodes() -> None:
    assert_type(Pack.pack, Step[Pack, Order, str])
    assert_type(Pack.send, CheckedStep[Pack, Order, bytes | None])
    assert_type(Pack.label, EachStep[Pack, Order, int, str])
    assert_type(Pack.letter, MaybeEachStep[Pack, Order, str, str])
    assert_type(Pack.named, Signal[str, str])
    assert_type(Pack.sent, Signal[int, int | None])
    assert_type(Pack.until, Timer)
    assert_type(Both.first, Child[int])
    assert_type(Both.second, MaybeChild[int])
    assert_type(Pack.diagram(), str)
    assert_type(Pack.schema(), dict[str, Any])


def of_values(node: Node[int], info: SagaInfo, page: Page, there: Description, late: Unreadable) -> None:
    assert_type(Done(7), Done[int])
    assert_type(NotDone(), NotDone)
    assert_type(Reject("sold_out", at=7).detail, dict[str, object])
    assert_type(Retry("busy", after=timedelta(1), not_done=True).after, timedelta | None)
    assert_type(Completed(7), Completed[int])
    assert_type(Failed(cause="rejected", code="a", undone=(), step="b", detail={}, reason="c", late=()), Failed)
    assert_type(info.id, str)
    assert_type(info.key, str)
    assert_type(page.cursor, str | None)
    assert_type(page.unreadable, Sequence[Unreadable])
    assert_type(late.key, str)
    assert_type(there.status, SagaStatus)
    assert_type(node.name, str)
    assert_type(sagakit.__version__, str)


def of_options() -> None:
    assert_type(Config.of({"lease_ttl": 6.0}), Config)
    assert_type(Config.from_env({}, lease_ttl=6.0), Config)
    assert_type(Config.from_toml("sagakit.toml", lease_ttl=6.0), Config)
    assert_type(Config.load("sagakit.toml", {}, lease_ttl=6.0), Config)
    assert_type(Config.describe(), list[tuple[str, str, object]])
    config = Config(
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
    )
    assert_type(config.lease_ttl, float)


def a_script(order: Order) -> None:
    done = sagakit.run(
        Ship(),
        "1",
        order,
        url="embedded:",
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
    )
    assert_type(done, Outcome[str])
    assert_type(done, Completed[str] | Failed)
    try:
        sagakit.run(Ship(), None, order)
    except SagaStuck as stuck:
        assert_type(str(stuck), str)


async def a_trio_program(config: Config) -> None:
    async with sagakit.open_runtime(
        "nats://localhost",
        sagas=[Ship()],
        config=config,
        host_loop=asyncio.get_running_loop(),
        adopt=True,
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
    async with sagakit.asyncio.open_runtime(
        "embedded:",
        sagas=[Ship()],
        config=config,
        adopt=False,
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
        assert_type(runtime, AsyncioRuntime)


async def calls(runtime: F, order: Order) -> None:
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
        created_before=datetime.now(UTC),
        limit=10,
        cursor=None,
    )
    assert_type(page, Page)
    assert_type(page.items, Sequence[SagaInfo])
    assert_type(await runtime.history(Ship, "1"), History)
    assert_type(await runtime.describe(Ship, "1"), Description)
    assert_type(await runtime.list_active(), Sequence[str])
    await runtime.signal(Ship, "1", Ship.paid, 7, message_id="m")
    verdict = await runtime.apply(
        "Ship.1", "cancel", reason="r", by="me", step="pack", payload=msgspec.Raw(b"1"), id="i"
    )
    assert_type(verdict, str)
    done = await runtime.bulk("cancel", page.items, reason="r", by="me", dry_run=True)
    assert_type(done, Sequence[tuple[SagaInfo, str]])
    await runtime.compensate(Ship, "1", "r")
    await runtime.delete(Ship, "1")
    await runtime.scan()
    await runtime.drain()
    assert_type(runtime.metrics(), Mapping[str, float])


def of_the_faces(trio: Runtime, asyncio: AsyncioRuntime, api: RuntimeApi) -> None:
    assert_type(trio.worker_id, str)
    assert_type(trio.config, Config)
    assert_type(trio.ready, bool)
    assert_type(trio.resting, int)
    assert_type(trio.messages_sent, int)
    assert_type(asyncio.worker_id, str)
    assert_type(asyncio.config, Config)
    assert_type(asyncio.ready, bool)
    assert_type(asyncio.resting, int)
    assert_type(asyncio.messages_sent, int)
    assert_type(api.worker_id, str)
    assert_type(api.config, Config)
    assert_type(api.ready, bool)
    assert_type(api.resting, int)
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
    assert_type(await handle.settled(), PersistedSagaState[msgspec.Raw])
    assert_type(await handle.record(), PersistedSagaState[msgspec.Raw])
    assert_type(await handle.describe(), Description)
    await handle.cancel("r", message_id="m")
    await handle.retry("r", by="me", message_id="m")
    await handle.mark_undone("pack", "r", by="me", message_id="m")
    await handle.complete_step(Ship.pack, "box", "r", by="me", message_id="m")
    await handle.compensate("r", by="me", message_id="m")
    await handle.terminate("r", by="me", message_id="m")
    assert_type(await handle.report("pack", "box", message_id="m"), bool)
