"""Every public call of `sagakit_actors` with every option, and the type of its result. For type checkers; never run.

A supervisor's children take messages of any type, so its references are `Ref[Any]`; `ask` types the answers.
"""
# mypy: disable-error-code="empty-body"
# pyright: strict, reportUnusedFunction=false

from __future__ import annotations

from typing import Any, NamedTuple, assert_type

import trio
from sagakit_actors import (
    Actor,
    ActorContext,
    ActorDied,
    Backoff,
    ChildInfo,
    ChildSpec,
    Down,
    DynamicSupervisor,
    Intensity,
    Overflow,
    Reactor,
    ReactorContext,
    ReactorSpec,
    Ref,
    Reply,
    Restart,
    Strategy,
    Supervisor,
    System,
    open_system,
)


class Ask(NamedTuple):
    reply: Reply[int]


class Counter(Actor[Ask]):
    async def started(self, ctx: ActorContext[Ask]) -> None:
        assert_type(ctx.nursery, trio.Nursery)
        assert_type(ctx.ref, Ref[Ask])
        ctx.ready()
        ctx.watch(ctx.ref)
        ctx.unwatch(ctx.ref)

    async def run(self, ctx: ActorContext[Ask]) -> None:
        assert_type(ctx.has_mail, bool)
        assert_type(await ctx.receive(), Ask | Down)
        assert_type(await ctx.receive_batch(max_messages=7), list[Ask | Down])

    async def receive(self, message: Ask, ctx: ActorContext[Ask]) -> None:
        assert_type(message.reply.send(7), bool)
        assert_type(message.reply.fail(ValueError()), bool)
        assert_type(await message.reply.wait(), int)
        message.reply.abandon()

    async def down(self, notice: Down, ctx: ActorContext[Ask]) -> None:
        assert_type(notice.reason, Exception | None)

    async def stopped(self, ctx: ActorContext[Ask]) -> None: ...


async def seven(number: int) -> int: ...


class Adder(Reactor[int]):
    def begin(self, ctx: ReactorContext[int]) -> None:
        assert_type(ctx.ref, Ref[int])
        ctx.pipe_to_self(lambda answer: answer or 0, seven, 7, timeout=1.0)
        assert_type(ctx.promise(), Reply[Any])
        ctx.watch(ctx.ref)
        ctx.unwatch(ctx.ref)

    def react(self, messages: list[int | Down]) -> bool: ...


async def of_a_ref(ref: Ref[Ask]) -> None:
    assert_type(ref.name, str)
    assert_type(ref.waiting, int)
    assert_type(ref.incarnation, int)
    assert_type(ref.alive, bool)
    try:
        assert_type(await ref.ask(Ask, timeout=1.0), int)
    except ActorDied as died:
        assert_type(str(died), str)
    await ref.tell(Ask(Reply[int].__new__(Reply)))
    ref.tell_nowait(Ask(Reply[int].__new__(Reply)))
    ref.signal(Ask(Reply[int].__new__(Reply)))


async def of_supervisors(ended: list[str], restart: Restart, overflow: Overflow, strategy: Strategy) -> None:
    backoff = Backoff(initial_interval=0.1, max_interval=1.0, multiplier=2.0, jitter=0.5, random=lambda: 0.5)
    assert_type(backoff.delay(1), float)
    assert_type(Intensity(3, 5.0).allows(1.0), bool)
    children = DynamicSupervisor(
        backoff=backoff,
        intensity=3,
        period=5.0,
        max_children=10,
        on_exit=lambda ref, error: ended.append(ref.name),
    )
    spec = ChildSpec("counter", Counter, restart=restart, shutdown=1.0, capacity=10, overflow=overflow)
    assert_type(children.start_child(spec), Ref[Any])
    reactor = ReactorSpec("adder", Adder, restart="transient", shutdown=1.0, capacity=10, overflow="wait")
    assert_type(children.start_reactor(reactor), Ref[Any])
    children.watch_for_children(children.start_child(spec))
    assert_type(children.child("counter"), Ref[Any] | None)
    assert_type(children.which_children(), list[ChildInfo])
    assert_type(children.count_children(), int)
    root = Supervisor(strategy, [spec], intensity=3, period=5.0)
    assert_type(root.ref("counter"), Ref[Any])
    assert_type(root.which_children(), list[ChildInfo])
    async with open_system(root, shutdown=1.0) as system:
        assert_type(system, System)
        assert_type(system.ref("counter"), Ref[Any])
        assert_type(system.which_children(), list[ChildInfo])
