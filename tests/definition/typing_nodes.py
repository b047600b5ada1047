"""Everything that a saga class is made of with every option, and what type checkers know of it. Never run."""
# mypy: disable-error-code="empty-body"
# pyright: strict, reportUnusedClass=false, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from logging import Logger, LoggerAdapter
from typing import Any, assert_type

import msgspec
import sagakit
from sagakit import (
    FOREVER,
    CheckedStep,
    Child,
    Completed,
    Context,
    Description,
    Done,
    EachStep,
    Failed,
    Limit,
    MaybeChild,
    MaybeEachStep,
    MaybeRemote,
    Node,
    NotDone,
    OldSaga,
    Page,
    Reject,
    Remote,
    Retry,
    RetryPolicy,
    Saga,
    SagaInfo,
    Signal,
    Step,
    Timer,
    UnreadableRecord,
    child,
    each,
    remote,
    signal,
    step,
    timer,
)
from sagakit.engine import SagaStatus


class Order(msgspec.Struct):
    number: int


class Ship(Saga[Order, str]):
    paid = signal(int, timeout=timedelta(days=1))

    @step
    async def pack(self, order: Order, ctx: Context) -> str: ...

    @pack.compensate
    async def unpack(self, order: Order, packed: str | None, ctx: Context) -> None: ...


def always(order: Order, ctx: Context) -> bool: ...


class Pack(Saga[Order, int]):
    paid = signal(int, timeout=timedelta(days=1), on_timeout="compensate", after=[], when=always)
    sent = signal(int, timeout=timedelta(days=1), on_timeout="continue")
    named = signal(str)
    rest = timer(timedelta(days=1), after=[paid], when=always)
    until = timer(lambda order, ctx: datetime.now(UTC))

    @step
    async def pack(self, order: Order, ctx: Context) -> str: ...

    @pack.compensate(retry=FOREVER, timeout=timedelta(minutes=1))
    async def unpack(self, order: Order, packed: str | None, ctx: Context) -> None: ...

    @step(
        pack,
        on_unknown="check",
        when=always,
        after=[rest, until],
        compensate=None,
        retry=RetryPolicy(
            max_attempts=3,
            initial_interval=timedelta(1),
            multiplier=2.0,
            max_interval=timedelta(2),
            reject_on=(OSError,),
            not_done_on=(),
        ),
        timeout=timedelta(minutes=1),
        pivot=True,
        backend="asyncio",
        limit=Limit("mail", max_concurrent=2, per_second=1.5),
        heartbeat_timeout=timedelta(seconds=1),
    )
    async def send(self, order: Order, packed: str, ctx: Context) -> bytes: ...

    @send.check
    async def was_sent(self, order: Order, ctx: Context) -> Done[bytes | None] | NotDone | None: ...

    @step(on_unknown="ask")
    async def ask(self, order: Order, ctx: Context) -> int: ...

    @ask.compensate(retry=FOREVER, timeout=timedelta(minutes=1))
    async def unask(self, order: Order, asked: int, ctx: Context) -> None: ...

    @each(lambda order, ctx: [1, 2])
    async def label(self, order: Order, item: int, ctx: Context) -> str: ...

    @label.compensate(retry=FOREVER, timeout=timedelta(minutes=1))
    async def unlabel(self, order: Order, item: int, label: str | None, ctx: Context) -> None: ...

    @each(
        pack,
        list,
        max_concurrent=2,
        on_unknown="undo",
        after=[rest],
        when=always,
        compensate=None,
        retry=FOREVER,
        timeout=timedelta(1),
        backend="trio",
        limit=None,
    )
    async def letter(self, order: Order, item: str, ctx: Context) -> str: ...

    def output(self, input: Order, ctx: Context) -> int:
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


def whole(order: Order, ctx: Context) -> Order:
    return order


class Far(Saga[Order, None]):
    packed = remote("stock.pack", str, send=whole, compensate=None, when=always)
    charged = remote(
        "payments.charge",
        Order,
        send=whole,
        compensate="payments.refund",
        check="payments.charged",
        on_unknown="check",
        retry=RetryPolicy(),
        undo_retry=RetryPolicy(),
        timeout=timedelta(minutes=1),
        heartbeat_timeout=timedelta(seconds=5),
        after=[packed],
        pivot=True,
    )

    @step(charged, packed, compensate=None)
    async def send(self, order: Order, charged: Order, packed: str | None, ctx: Context) -> None: ...


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
    assert_type(Far.charged, Remote[Order])
    assert_type(Far.packed, MaybeRemote[str])
    assert_type(Pack.diagram(), str)
    assert_type(Pack.schema(), dict[str, Any])


def of_values(node: Node[int], info: SagaInfo, page: Page, there: Description, late: UnreadableRecord) -> None:
    assert_type(Done(7), Done[int])
    assert_type(NotDone(), NotDone)
    assert_type(Reject("sold_out", at=7).detail, dict[str, object])
    assert_type(Retry("busy", after=timedelta(1), not_done=True).after, timedelta | None)
    assert_type(Completed(7), Completed[int])
    assert_type(
        Failed(cause="rejected", code="a", compensated=(), step="b", detail={}, reason="c", late_successes=()), Failed
    )
    assert_type(info.id, str)
    assert_type(info.key, str)
    assert_type(page.cursor, str | None)
    assert_type(page.unreadable, Sequence[UnreadableRecord])
    assert_type(late.key, str)
    assert_type(there.status, SagaStatus)
    assert_type(node.name, str)
    assert_type(sagakit.__version__, str)
