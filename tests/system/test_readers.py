"""A start that this worker cannot read is left to a worker that can."""

# mypy: disable-error-code="empty-body, valid-type"
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio.testing
from sagakit import Completed, Context, Saga, child, signal, step
from sagakit.cluster.elsewhere import LOOK_AGAIN, Elsewhere
from sagakit.cluster.lease import read_leases
from sagakit.cluster.lease_value import Lease, lease_of
from sagakit.cluster.schema_check import others_can_read
from sagakit.definition import compiled, schema_digest
from sagakit.definition.payloads import Payloads
from sagakit.naming import SagaKey
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Store
from sagakit.system.inbound.intake import Intake

from tests.looks import record_of, settled
from tests.system.members import Member, killable, member, stands
from tests.system.test_sealed import codec
from tests.system.typed_orders import NEW, order, record_type

Clock = trio.testing.MockClock
RAW = msgspec.Raw
PLACE = (SagaKey("Shop", "1"), "input")


def lease(worker: str, *sagas: Saga[Any, Any], **fields: Any) -> Lease:
    """Return the lease of a worker that knows these sagas."""
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
        ([lease("us", OLD), lease("new", NEXT)], NOBODYS_INPUT, KEPT[:1], True),  # its schema is not kept
        ([lease("us", OLD), lease("gone", NEXT, handed_back=True)], NEXT_INPUT, KEPT, False),
        ([lease("us", OLD), lease("of another type", definitions={"Mail": [1]})], NEXT_INPUT, KEPT, False),
        ([lease("us", OLD), lease("older sagakit", NEXT, schemas={})], NOBODYS_INPUT, KEPT, True),
    ],
)  # fmt: skip
def test_another_worker_can_read_an_input_if_one_of_its_schemas_fits(
    leases: Any, value: RAW, kept: Any, can: bool
) -> None:
    assert others_can_read(leases, "Order", value, known=OURS, kept=kept) == can


async def test_a_worker_finds_out_which_inputs_another_worker_can_read(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        old = await start(server, OLD)
        binding = old.worker.registry.latest("Order")
        assert binding.cannot_read(RAW(b'{"ref": "c"}'), *PLACE) == ""
        assert binding.cannot_read(NOBODYS_INPUT, *PLACE) == "Object missing required field `ref`"
        others = Elsewhere(old.store, old.worker.registry)
        assert not await others.can_read("Order", NEXT_INPUT)
        new = await start(server, NEXT)
        await trio.sleep(LOOK_AGAIN + 1)
        assert await others.can_read("Order", NEXT_INPUT)
        assert not await others.can_read("Order", NOBODYS_INPUT)
        assert not await Elsewhere(new.store, new.worker.registry).can_read("Order", NOBODYS_INPUT)
        entry = server.bucket("SAGA_WORKERS").read(new.runtime.worker_id)
        assert entry is not None
        found = lease_of(entry.key, entry.value)
        assert found is not None
        assert found.schemas == {"Order": [schema_digest(type(NEXT).schema())]}


async def test_many_questions_at_once_cost_one_look_at_the_leases(
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
    """The version of older workers, which waits for a signal."""

    go = signal(int)


class Offer(Saga[BowType], version=2):
    """The version of newer workers. No other version can read `BOW`."""

    go = signal(int)


class OldAnything(Saga[dict[str, Any]], name="Offer"):
    """A version whose schema even accepts a sealed value."""

    go = signal(int)


class Anything(Saga[dict[str, Any] | None], name="Offer", version=2):
    """Another one."""

    go = signal(int)


BOW = RAW(b'{"ref": ["of a newer kind"], "currency": "EUR"}')


async def until_started(server: MemoryServer, *keys: str) -> None:
    with trio.fail_after(60):
        for key in keys:
            while stands(server, "SAGA_STATE", key) is None:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)


sealed_or_not = pytest.mark.parametrize("options", [{}, {"payload_codec": codec("k1")}], ids=["plain", "sealed"])


@sealed_or_not
@pytest.mark.parametrize("crowded", [True, False])
async def test_starts_that_only_newer_workers_can_read_go_to_them(
    options: dict[str, Any], crowded: bool, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Intake, "_is_crowded", crowded)
    server = MemoryServer()
    async with killable() as start:
        old, _ = await start(server, OldOffer(), **options), await start(server, Offer(), **options)
        for number in range(20):
            value = Payloads(options.get("payload_codec")).sealed(BOW, SagaKey("Offer", str(number)), "input")
            await send_start(old, "Offer", str(number), RAW(value))
        await until_started(server, *(f"Offer.{number}" for number in range(20)))
        assert server.dead == []


async def test_a_start_that_no_worker_can_read_is_a_dead_letter_with_the_reason(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        old, _ = await start(server, OldOffer()), await start(server, Offer())
        await send_start(old, "Offer", "1", NOBODYS_INPUT)
        with trio.fail_after(60):
            while not server.dead:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
    [letter] = server.dead
    assert "missing required field `ref`" in letter.reason


@pytest.mark.parametrize("crowded", [True, False])
async def test_a_start_that_no_worker_can_open_is_a_dead_letter_with_the_reason(
    crowded: bool, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that cannot see the value must not leave it to the next one, which would leave it to the first."""
    monkeypatch.setattr(Intake, "_is_crowded", crowded)
    server = MemoryServer()
    async with killable() as start:
        old, _ = await start(server, OldAnything()), await start(server, Anything())
        sealed = Payloads(codec("k1")).sealed(BOW, SagaKey("Offer", "1"), "input")
        await send_start(old, "Offer", "1", RAW(sealed))
        with trio.fail_after(60):
            while not server.dead:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
    [letter] = server.dead
    assert "this program has no codec" in letter.reason


@sealed_or_not
async def test_a_child_that_only_a_newer_worker_can_start_is_left_to_it(
    options: dict[str, Any], autojump_clock: Clock
) -> None:
    """An older worker runs the parent."""

    class Family(Saga[str]):
        kid = child(Offer, lambda input, ctx: msgspec.convert(msgspec.json.decode(BOW), type=BowType))

    server = MemoryServer()
    async with killable() as start:
        old, _ = await start(server, Family(), OldOffer(), **options), await start(server, Offer(), **options)
        handle = await old.runtime.start(Family, "1", "g")
        with trio.fail_after(60):
            while not server.bucket("SAGA_STATE").entries("Offer"):  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        assert (await record_of(handle)).stuck is None


async def test_a_child_whose_input_its_class_cannot_read_leaves_the_parent_stuck(autojump_clock: Clock) -> None:
    """Children take the highest version, which may differ from the one that the parent knows."""
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
