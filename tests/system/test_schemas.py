"""Schemas are kept, and a change that old or new code could not read is refused when the runtime is opened."""

# mypy: disable-error-code="empty-body, valid-type"
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
import trio.testing
from sagakit import AlreadyStarted, Completed, Context, Saga, child, each, open_runtime, signal, step
from sagakit.cluster.elsewhere import LOOK_AGAIN, Elsewhere
from sagakit.cluster.lease import Lease, lease_of, read_leases
from sagakit.cluster.schema_check import others_can_read
from sagakit.definition import compiled, schema_digest
from sagakit.errors import SchemaChanged
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Store, Write

from tests.looks import record_of, settled
from tests.servers import Server
from tests.system.members import Member, killable, member, stands

Clock = trio.testing.MockClock
RAW = msgspec.Raw


def record_type(name: str, *fields: Any) -> Any:
    """A class of this name, whatever its fields: a plan knows it by its name alone."""
    return msgspec.defstruct(name, [("ref", str), *fields])


def order(changed: Mapping[str, Any] = {}, *, version: int = 1) -> Saga[Any, Any]:
    """A saga that keeps one value of each kind; `changed` gives the class at a place more fields."""

    def of(name: str, place: str) -> Any:
        return record_type(name, *changed.get(place, ()))

    Cart, Receipt, Hold, Line, Approval = (
        of(name, place)
        for name, place in (
            ("Cart", "input"),
            ("Receipt", "output"),
            ("Hold", "step"),
            ("Line", "item"),
            ("Approval", "signal"),
        )
    )
    Gift, Thanks = of("Gift", "child_input"), of("Thanks", "child_output")

    class Kid(Saga[Gift, Thanks]):
        @step(compensate=None)
        async def only(self, gift: Gift, ctx: Context) -> None: ...

        def output(self, input: Gift, ctx: Context) -> Thanks: ...

    class Order(Saga[Cart, Receipt], version=version):
        @step(compensate=None)
        async def reserve(self, cart: Cart, ctx: Context) -> Hold: ...

        @each(reserve, lambda hold: [], compensate=None)
        async def pack(self, cart: Cart, line: Line, ctx: Context) -> None: ...

        approved = signal(Approval)
        kid = child(Kid, lambda cart, ctx: Gift("g"))

        def output(self, input: Cart, ctx: Context) -> Receipt: ...

    return Order()


PLACES = {
    "input": "input",
    "output": "output",
    "step": "steps.reserve",
    "item": "items.pack[]",
    "signal": "signals.approved",
    "child_input": "children.kid.input",
    "child_output": "children.kid.output",
}
NEW, OPTIONAL = ("currency", str), ("currency", str, "EUR")


@pytest.mark.parametrize(("place", "path"), PLACES.items())
async def test_a_new_field_without_a_default_is_refused(place: str, path: str, autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, order()):
        with pytest.raises(SchemaChanged) as refused:
            async with member(server, order({place: [NEW]})):
                pass
    assert refused.value.parts == [
        f"{path}.currency: it is required, and is missing in what is written as {{ref: string}} and read as "
        "{ref: string, currency: string}"
    ]
    assert str(refused.value).startswith(
        "Order version 1: types have changed since it was first run here; this code cannot read what other code has "
        f"written: {refused.value.parts[0]}. Give the class version=2 with a migrate(), give a new field a default, or "
        "take the change back. What is kept cannot be replaced: the worker "
    )
    async with member(server, order({place: [NEW]}, version=2)), member(server, order()):
        pass


@pytest.mark.parametrize("place", PLACES)
async def test_a_field_that_old_code_needs_is_not_taken_away(place: str, autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, order({place: [NEW]})):
        with pytest.raises(
            SchemaChanged, match=r"other code, which may still run, cannot read .*\.currency: it is required"
        ):
            async with member(server, order()):
                pass


@pytest.mark.parametrize("place", PLACES)
async def test_a_new_field_with_a_default_is_fine_and_each_schema_is_kept(place: str, autojump_clock: Clock) -> None:
    server = MemoryServer()
    for _ in range(2):
        for saga in (order(), order({place: [OPTIONAL]})):
            async with member(server, saga):
                pass
    kept = {entry.key: entry.value for entry in server.bucket("SAGA_META").entries("schema")}
    schemas = [type(saga).schema() for saga in (order(), order({place: [OPTIONAL]}))]
    assert kept == {f"schema.Order.1.{schema_digest(one)}": msgspec.json.encode(one) for one in schemas}


async def test_each_schema_that_was_ever_kept_counts(autojump_clock: Clock) -> None:
    """The field came with a default, went, and comes back as something else: records from then may be left."""
    server = MemoryServer()
    async with member(server, order({"step": [OPTIONAL]})):
        pass
    text = r"steps\.reserve\.currency: it is written as string and read as integer"
    async with member(server, order()):
        with pytest.raises(SchemaChanged, match=text):
            async with member(server, order({"step": [("currency", int, 0)]})):
                pass


async def test_nothing_is_kept_of_a_runtime_that_is_refused(autojump_clock: Clock) -> None:
    class Other(Saga[str]):
        @step(compensate=None)
        async def only(self, input: str, ctx: Context) -> None: ...

    server = MemoryServer()
    async with member(server, order()):
        before = [entry.key for entry in server.bucket("SAGA_META").entries("")]
        with pytest.raises(SchemaChanged):
            async with member(server, Other(), order({"step": [NEW]})):
                pass
        assert [entry.key for entry in server.bucket("SAGA_META").entries("")] == before


@pytest.mark.parametrize("garbage", [b"no JSON", b"[]", b'{"saga": "Order", "version": "1"}'])
async def test_p11_what_is_kept_and_is_no_schema_stops_nobody(garbage: bytes, autojump_clock: Clock) -> None:
    server = MemoryServer()
    server.bucket("SAGA_META").write(Write("schema.Order.1.0", garbage, 0))
    async with member(server, order()):
        pass


async def test_p11_a_kept_schema_that_cannot_be_compared_is_reported(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    bad = {"saga": "Order", "version": 1, "input": {"$schema": "x", "type": "object", "properties": 5}}
    server.bucket("SAGA_META").write(Write("schema.Order.1.0", json.dumps(bad).encode(), 0))
    with caplog.at_level(logging.WARNING):
        async with member(server, order()):
            pass
    assert "a kept schema of Order version 1 cannot be compared" in caplog.text


async def test_a_schema_that_no_message_can_hold_is_not_kept_and_said_so(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer(max_payload=64 * 1024)
    wide = order({"input": [(f"f{number}", int | None, None) for number in range(2_000)]})
    with caplog.at_level(logging.WARNING):
        async with member(server, wide):
            pass
    assert "is not kept, so that a change of it will not be noticed" in caplog.text


async def test_on_a_server(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[order()], namespace=namespace):
        pass
    async with open_runtime(server.url, sagas=[order({"step": [OPTIONAL]})], namespace=namespace):
        with pytest.raises(SchemaChanged, match=r"steps\.reserve\.currency"):
            async with open_runtime(server.url, sagas=[order({"step": [NEW]})], namespace=namespace):
                pass


# -------------------------------------------------------------------- the same input


def priced(*fields: Any) -> tuple[Saga[Any, Any], Any]:
    """A saga whose input may have more fields."""
    Cart = record_type("Cart", *fields)

    class Priced(Saga[Cart, str]):
        go = signal(int)

        def output(self, input: Cart, ctx: Context) -> str:
            return str(msgspec.to_builtins(input))

    return Priced(), Cart


async def test_p10_defaults_are_filled_before_inputs_are_compared(autojump_clock: Clock) -> None:
    server = MemoryServer()
    (old, Old), (new, New) = priced(), priced(OPTIONAL)
    async with killable() as start:
        first = await start(server, old)
        handle = await first.runtime.start(type(old), "1", Old("c"))
        second = await start(server, new)
        await second.runtime.start(type(new), "1", New("c"))
        await second.runtime.start(type(new), "1", New("c", "EUR"))
        with pytest.raises(AlreadyStarted):
            await second.runtime.start(type(new), "1", New("c", "USD"))
        await first.runtime.apply(handle.key, "signal", step="go", payload=RAW(b"1"))
        assert await handle.outcome() == Completed("{'ref': 'c'}")
        with trio.fail_after(1000):
            while await first.runtime.list_active():  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        await second.runtime.start(type(new), "1", New("c"))
        with pytest.raises(AlreadyStarted):
            await second.runtime.start(type(new), "1", New("c", "USD"))


# ------------------------------------------------------------- who can read a start


def lease(worker: str, *sagas: Saga[Any, Any], **fields: Any) -> Lease:
    """Of a worker that knows these sagas."""
    plans = [compiled(type(saga)).plan for saga in sagas]
    schemas = {"Order": [schema_digest(type(saga).schema()) for saga in sagas]}
    said: dict[str, Any] = {"definitions": {"Order": [plan.version for plan in plans]}, "schemas": schemas} | fields
    return Lease(worker=worker, name=worker, host="h", pid=1, **said)


OLD, NEXT = order(), order({"input": [NEW]}, version=2)
OURS = [schema_digest(type(OLD).schema())]
KEPT = [type(saga).schema() for saga in (OLD, NEXT)]
NEXT_INPUT = RAW(b'{"ref": "c", "currency": "EUR"}')
NOBODYS_INPUT = RAW(b'{"currency": "EUR"}')


@pytest.mark.parametrize(
    ("leases", "value", "kept", "can"),
    [
        ([lease("us", OLD)], NOBODYS_INPUT, KEPT, False),
        ([lease("us", OLD), lease("like us", OLD)], NOBODYS_INPUT, KEPT, False),
        ([lease("us", OLD), lease("new", NEXT)], NEXT_INPUT, KEPT, True),
        ([lease("us", OLD), lease("new", OLD, NEXT)], NEXT_INPUT, KEPT, True),
        ([lease("us", OLD), lease("new", NEXT)], NOBODYS_INPUT, KEPT, False),
        ([lease("us", OLD), lease("new", NEXT)], RAW(b"no JSON"), KEPT, False),
        ([lease("us", OLD), lease("new", NEXT)], RAW(), KEPT, False),
        ([lease("us", OLD), lease("new", NEXT)], RAW(b"[" * 900 + b"]" * 900), KEPT, False),
        ([lease("us", OLD), lease("new", NEXT)], NOBODYS_INPUT, KEPT[:1], True),  # it is not kept: it may
        ([lease("us", OLD), lease("gone", NEXT, handed_back=True)], NEXT_INPUT, KEPT, False),
        ([lease("us", OLD), lease("of another type", definitions={"Mail": [1]})], NEXT_INPUT, KEPT, False),
        ([lease("us", OLD), lease("older sagakit", NEXT, schemas={})], NOBODYS_INPUT, KEPT, True),
    ],
)  # fmt: skip
def test_whether_another_worker_can_read_an_input(leases: Any, value: RAW, kept: Any, can: bool) -> None:
    assert others_can_read(leases, "Order", value, known=OURS, kept=kept) == can


async def test_a_worker_finds_out_who_can_read_what_it_cannot(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        old = await start(server, OLD)
        binding = old.worker.registry.latest("Order")
        assert binding.cannot_read(RAW(b'{"ref": "c"}')) == ""
        assert binding.cannot_read(NOBODYS_INPUT) == "Object missing required field `ref`"
        others = Elsewhere(old.store, old.worker.registry)
        assert not await others.can_read("Order", NEXT_INPUT)
        new = await start(server, NEXT)
        await trio.sleep(LOOK_AGAIN + 1)
        assert await others.can_read("Order", NEXT_INPUT)
        assert not await others.can_read("Order", NOBODYS_INPUT)
        assert not await Elsewhere(new.store, new.worker.registry).can_read("Order", NOBODYS_INPUT)
        entry = server.bucket("SAGA_WORKERS").read(new.runtime.worker_id)
        assert entry is not None
        found = lease_of(entry)
        assert found is not None
        assert found.schemas == {"Order": [schema_digest(type(NEXT).schema())]}


async def test_many_that_ask_at_once_are_answered_by_one_look(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    async def counted(store: Store) -> list[Lease]:
        looks.append(trio.current_time())
        return await read_leases(store)

    monkeypatch.setattr("sagakit.cluster.elsewhere.read_leases", counted)
    async with member(MemoryServer(), OLD) as old:
        others = Elsewhere(old.store, old.worker.registry)
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(others.can_read, "Order", NOBODYS_INPUT)
            assert await others.runs("Order")
            await trio.sleep(LOOK_AGAIN + 1)
    assert len(looks) == 2


async def send_start(running: Member, saga_type: str, saga_id: str, value: RAW) -> None:
    body = msgspec.json.encode({"kind": "start", "input": value})
    await running.store.inbox.send("client", id=f"start-{saga_id}", saga_type=saga_type, saga_id=saga_id, payload=body)


GiftType = record_type("Gift")
BowType: Any = msgspec.defstruct("Bow", [("ref", list[str]), NEW])


class OldOffer(Saga[GiftType], name="Offer"):
    """What older workers have; it waits."""

    go = signal(int)


class Offer(Saga[BowType], version=2):
    """What newer workers have. Nobody else can read `BOW`."""

    go = signal(int)


BOW = RAW(b'{"ref": ["of a newer kind"], "currency": "EUR"}')


async def until_started(server: MemoryServer, *keys: str) -> None:
    with trio.fail_after(60):
        for key in keys:
            while stands(server, "SAGA_STATE", key) is None:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)


async def test_starts_that_only_newer_workers_can_read_go_to_these(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        old, _ = await start(server, OldOffer()), await start(server, Offer())
        for number in range(20):
            await send_start(old, "Offer", str(number), BOW)
        await until_started(server, *(f"Offer.{number}" for number in range(20)))
        assert server.dead == []


async def test_a_start_that_nobody_can_read_is_a_dead_letter_with_the_reason(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        old, _ = await start(server, OldOffer()), await start(server, Offer())
        await send_start(old, "Offer", "1", NOBODYS_INPUT)
        with trio.fail_after(60):
            while not server.dead:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
    [letter] = server.dead
    assert "missing required field `ref`" in letter.reason


# --------------------------------------------------------------------- a child's start


async def test_a_child_that_only_a_newer_worker_can_start_is_left_to_it(autojump_clock: Clock) -> None:
    """An older worker has adopted its parent, say."""

    class Family(Saga[str]):
        kid = child(Offer, lambda input, ctx: msgspec.convert(msgspec.json.decode(BOW), type=BowType))

    server = MemoryServer()
    async with killable() as start:
        old, _ = await start(server, Family(), OldOffer()), await start(server, Offer())
        handle = await old.runtime.start(Family, "1", "g")
        with trio.fail_after(60):
            while not server.bucket("SAGA_STATE").entries("Offer"):  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        assert (await record_of(handle)).stuck is None


async def test_a_child_whose_input_its_class_cannot_read_leaves_the_parent_stuck(autojump_clock: Clock) -> None:
    """Children take the highest version, which may be another one than the parent knows."""
    Gift, Bow = record_type("Gift"), record_type("Gift", NEW)

    class Kid(Saga[Gift]):
        @step(compensate=None)
        async def only(self, gift: Gift, ctx: Context) -> None: ...

    class NewKid(Saga[Bow], name="Kid", version=2):
        @step(compensate=None)
        async def only(self, gift: Bow, ctx: Context) -> None: ...

    class Parent(Saga[str]):
        @step
        async def first(self, input: str, ctx: Context) -> None: ...

        @first.compensate
        async def undo(self, input: str, result: None, ctx: Context) -> None: ...

        kid = child(Kid, lambda input, ctx: Gift(input))

    server = MemoryServer()
    async with member(server, Parent(), Kid(), NewKid()) as running:
        handle = await running.runtime.start(Parent, "1", "g")
        with trio.fail_after(1000):
            record = await settled(handle)
        assert record.stuck == (
            "kid: Kid version 2 cannot read the child's input: Object missing required field `currency`"
        )
        assert record.failure is None
    async with member(server, Parent(), Kid()) as running:
        handle = await running.runtime.get(Parent, "1")
        await handle.retry("without version 2")
        with trio.fail_after(1000):
            assert await handle.outcome() == Completed(None)
