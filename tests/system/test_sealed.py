"""Sealed values: with a payload codec nothing is stored in plain form, and each value is bound to its place.

The secret word of each test is in every value of a saga. It must not be in any byte that reaches the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from sagakit import (
    AlreadyStarted,
    Completed,
    Context,
    Failed,
    InvalidInput,
    NotAllowed,
    Reject,
    RetryPolicy,
    Saga,
    child,
    each,
    remote,
    signal,
    step,
)
from sagakit.client.saga_type import SagaType
from sagakit.definition.payloads import Compressed, PayloadPlace, Payloads, Sealed, is_sealed
from sagakit.encryption import Encrypted
from sagakit.engine import child_id
from sagakit.naming import SagaKey
from sagakit.store.memory_server import MemoryBucket, MemoryServer

from tests.system.commands_taken import reply, taken
from tests.system.members import Member, killable, member

Clock = trio.testing.MockClock
SECRET = "rosebud"
K1, K2 = b"1" * 32, b"2" * 32
ONCE = RetryPolicy(max_attempts=1)


def codec(*keys: str, current: str = "") -> Encrypted:
    """Return a codec with these keys; the first one is current."""
    all_keys = {"k1": K1, "k2": K2}
    return Encrypted({key: all_keys[key] for key in keys}, current=current or keys[0])


class Part(Saga[dict[str, str], str]):
    @step(compensate=None)
    async def work(self, value: dict[str, str], ctx: Context) -> str:
        return value["of"]

    def output(self, input: dict[str, str], ctx: Context) -> str:
        return f"part of {input['of']}"


class Everything(Saga[str, list[str]]):
    @step
    async def first(self, value: str, ctx: Context) -> str:
        return f"first {value}"

    @first.compensate
    async def undo_first(self, value: str, result: str | None, ctx: Context) -> None:
        assert result == f"first {value}"

    @each(first, lambda found: [f"{found} a", f"{found} b"], compensate=None)
    async def label(self, value: str, item: str, ctx: Context) -> str:
        return f"label {item}"

    part = child(Part, lambda value, ctx: {"of": value}, after=[label])
    charge = remote(
        "payments.charge", str, send=lambda value, ctx: {"for": value}, compensate=None, after=[part], retry=ONCE
    )
    told = signal(str, after=[charge])

    @step(first, told, after=[told], when=lambda value, ctx: bool(value), compensate=None)
    async def last(self, value: str, first: str, told: str, ctx: Context) -> str:
        if "refuse" in told:
            raise Reject("no", why=told)
        return f"last {first} {told}"

    def output(self, input: str, ctx: Context) -> list[str]:
        return [
            ctx.result(Everything.first), *ctx.result(Everything.label), ctx.result(Everything.part),
            ctx.result(Everything.charge), ctx.result(Everything.told), str(ctx.result(Everything.last)),
        ]  # fmt: skip


ALL = [
    "first rosebud", "label first rosebud a", "label first rosebud b", "part of rosebud", "charged rosebud",
    "told rosebud", "last first rosebud told rosebud",
]  # fmt: skip


@contextmanager
def everything_stored(monkeypatch: pytest.MonkeyPatch, server: MemoryServer) -> Iterator[list[bytes]]:
    """Yield what is written to any bucket; at the end the events are added."""
    found: list[bytes] = []
    write = MemoryBucket.write

    def noting(self: MemoryBucket, one: Any, **more: Any) -> int:
        found.append(one.value)
        return write(self, one, **more)

    monkeypatch.setattr(MemoryBucket, "write", noting)
    yield found
    found.extend(event.payload for event in server.events)


async def run_all(running: Member, server: MemoryServer, *, told: str = "told rosebud") -> Any:
    """Run a saga with every kind of value, and return its outcome."""
    handle = await running.runtime.start(Everything, "1", SECRET)
    charge = await taken(server, "payments.charge")
    reply(server, charge, "done", payload="charged rosebud")
    with trio.fail_after(1000):
        await running.runtime.signal(Everything, "1", Everything.told, told)
        return await handle.outcome()


@pytest.mark.parametrize("codecs", [codec("k1"), [Compressed(above=10), codec("k1")]], ids=["one", "two"])
async def test_no_value_is_stored_in_plain_form(
    codecs: Any, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    with everything_stored(monkeypatch, server) as stored:
        async with member(server, Everything(), Part(), payload_codec=codecs) as running:
            assert await run_all(running, server) == Completed(ALL)
            described = await running.runtime.describe(Everything, "1")
    assert (described.input, described.output) == (SECRET, ALL)
    assert described.steps[0].result == "first rosebud"
    assert len(stored) > 20
    assert [found for found in stored if SECRET.encode() in found] == []


async def test_the_detail_of_a_refusal_is_sealed_and_read_again(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    with everything_stored(monkeypatch, server) as stored:
        async with member(server, Everything(), Part(), payload_codec=codec("k1")) as running:
            outcome = await run_all(running, server, told="refuse rosebud")
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.detail) == ("no", {"why": "refuse rosebud"})
    assert [found for found in stored if SECRET.encode() in found] == []


PLACES = (
    "input", "given/label", "given/part", "given/charge", "result/first", "result/label/1", "result/part",
    "result/charge", "result/told", "result/last", "output",
)  # fmt: skip


@pytest.mark.parametrize("forgotten", PLACES)
async def test_a_place_that_is_forgotten_is_found(
    forgotten: str, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed, server = Payloads.sealed, MemoryServer()

    def forgets(self: Payloads, data: bytes, saga: Any, part: str, **more: bool) -> bytes:
        return bytes(data) if part == forgotten else sealed(self, data, saga, part, **more)

    monkeypatch.setattr(Payloads, "sealed", forgets)
    with everything_stored(monkeypatch, server) as stored:
        async with member(server, Everything(), Part(), payload_codec=codec("k1")) as running:
            assert await run_all(running, server) == Completed(ALL)
    assert any(SECRET.encode() in found for found in stored)


async def test_without_a_codec_values_are_stored_as_they_are(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    with everything_stored(monkeypatch, server) as stored:
        async with member(server, Everything(), Part()) as running:
            assert await run_all(running, server) == Completed(ALL)
    assert any(SECRET.encode() in found for found in stored)
    assert not any(b"$sealed" in found for found in stored)


async def test_plain_commands_and_replies_are_sealed_when_they_become_values(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Everything(), Part(), payload_codec=codec("k1")) as running:
        await run_all(running, server)
        record = await running.runtime.load(Everything, "1")
    assert is_sealed(record.steps["charge"].given)
    assert is_sealed(record.steps["charge"].result)
    assert is_sealed(record.steps["told"].result)


# ----------------------------------------------------------------- starts


async def test_the_same_start_is_the_same_saga_although_no_two_encryptions_are_alike(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Everything(), Part(), payload_codec=codec("k1")) as running:
        first = await running.runtime.start(Everything, "1", SECRET)
        digests = Payloads(codec("k1")).digests(b'"rosebud"', SagaKey("Everything", "1"), "input")
        assert (await running.runtime.load(Everything, "1")).input_digest == digests[0]
        assert (await running.runtime.start(Everything, "1", SECRET)).key == first.key
        with pytest.raises(AlreadyStarted):
            await running.runtime.start(Everything, "1", "another")
    async with member(server, Everything(), Part(), payload_codec=codec("k2", "k1")) as running:  # the key was rotated
        await running.runtime.start(Everything, "1", SECRET)
        with pytest.raises(AlreadyStarted):
            await running.runtime.start(Everything, "1", "another")


async def test_a_childs_input_has_the_digest_of_its_parents_place(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Everything(), Part(), payload_codec=codec("k1")) as running:
        await run_all(running, server)
        kid = child_id(await running.runtime.load(Everything, "1"), "part", 1)
        record, part = await running.runtime.load(Part, kid), SagaType.of("Part", Payloads(codec("k1")))
    assert part.same_input(b'{"of":"rosebud"}', kid, record)
    assert not part.same_input(b'{"of":"another"}', kid, record)


class Broken:
    """A codec that raises."""

    name = "broken"

    def encode(self, data: bytes, place: PayloadPlace) -> Sealed:
        raise KeyError("no HSM")

    def decode(self, sealed: Sealed, place: PayloadPlace) -> bytes:
        raise KeyError("no HSM")


async def test_a_codec_that_raises_refuses_the_start(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Everything(), Part(), payload_codec=Broken()) as running:
        with pytest.raises(InvalidInput, match=r"its codec failed: KeyError.*no HSM"):
            await running.runtime.start(Everything, "1", SECRET)
    assert not server.bucket("SAGA_STATE").read("Everything.1")


class Loose(Saga[Any, Any]):
    @step(compensate=None)
    async def work(self, value: Any, ctx: Context) -> Any:
        return value.get("result")

    def output(self, input: Any, ctx: Context) -> Any:
        return ctx.result(Loose.work)


@pytest.mark.parametrize("with_codec", [True, False])
async def test_a_value_that_looks_sealed_is_refused(with_codec: bool, autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Loose(), payload_codec=codec("k1") if with_codec else None) as running:
        with pytest.raises(InvalidInput, match=r"its first field is '\$sealed'"):
            await running.runtime.start(Loose, "1", {"$sealed": ["none"], "data": ""})
        assert await running.runtime.execute(Loose, "2", {"sealed": 1, "result": {"a": {"$sealed": 1}}}) == Completed(
            {"a": {"$sealed": 1}}
        )


async def test_null_stays_null(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Loose(), payload_codec=codec("k1")) as running:
        assert await running.runtime.execute(Loose, "1", {}) == Completed(None)
        record = await running.runtime.load(Loose, "1")
    assert bytes(record.steps["work"].result) == b"null"


# ------------------------------------------------- keys that are missing


class Slow(Saga[str, str]):
    def __init__(self, hang: bool = False) -> None:
        self.hang = hang
        self.reached = trio.Event()
        self.undone: list[str] = []

    @step(retry=RetryPolicy(initial_interval=timedelta(seconds=1)))
    async def one(self, value: str, ctx: Context) -> str:
        return value

    @one.compensate
    async def undo_one(self, value: str, result: str | None, ctx: Context) -> None:
        self.undone.append(str(result))

    @step(one, compensate=None, on_unknown="retry", retry=RetryPolicy(initial_interval=timedelta(seconds=1)))
    async def two(self, value: str, one: str, ctx: Context) -> str:
        if self.hang:
            self.reached.set()
            await trio.sleep_forever()
        return f"two {one}"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Slow.two)


async def left_behind(server: MemoryServer, key: Encrypted | None) -> None:
    """Start a saga whose worker dies at its second step."""
    async with killable() as start:
        saga = Slow(hang=True)
        victim = await start(server, saga, payload_codec=key)
        await victim.runtime.start(Slow, "1", SECRET)
        await saga.reached.wait()
        victim.kill()


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (None, "sealed with 'aes-gcm/k1', for which this program has no codec"),
        (codec("k2"), "the key 'k1' is not known here"),
        (Encrypted({"k1": K2}, current="k1"), "or was encrypted with another key of the id 'k1'"),
    ],
    ids=["no codec", "no key", "wrong key"],
)
async def test_a_saga_that_cannot_be_opened_is_stuck_until_its_worker_has_the_key(
    theirs: Encrypted | None, says: str, autojump_clock: Clock
) -> None:
    server = MemoryServer()
    await left_behind(server, codec("k1"))
    async with member(server, saga := Slow(), payload_codec=theirs) as running:
        with trio.fail_after(1000):
            record = await running.runtime.ended("Slow.1", or_stuck=True)
        assert record.status == "stuck"
        assert says in str(record.stuck) + str(record.steps["two"].error)
        assert saga.undone == []
        described = await running.runtime.describe(Slow, "1")
        assert str(described.input).startswith("sealed with aes-gcm/k1, ")
    async with member(server, Slow(), payload_codec=codec("k2", "k1")) as running:
        handle = await running.runtime.get(Slow, "1")
        with trio.fail_after(1000):
            while await running.runtime.apply("Slow.1", "retry", by="eve", reason="key is back") != "accepted":  # noqa: ASYNC110
                await trio.sleep(1)
            assert await handle.outcome() == Completed(f"two {SECRET}")


class Paid(Saga[str, str]):
    charge = remote("payments.charge", str, send=lambda value, ctx: value, compensate="payments.refund", retry=ONCE)

    @step(charge, compensate=None)
    async def note(self, value: str, paid: str, ctx: Context) -> str:
        return f"{value} {paid}"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Paid.note)


async def test_a_reply_that_cannot_be_opened_is_kept_until_its_worker_has_the_key(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Paid(), payload_codec=codec("k2")) as running:
        await running.runtime.start(Paid, "1", SECRET)
        payload = Payloads(codec("k1")).sealed(b'"paid"', SagaKey("Paid", "1"), "result/charge")
        reply(server, await taken(server, "payments.charge"), "done", payload=msgspec.Raw(payload))
        with trio.fail_after(1000):
            record = await running.runtime.ended("Paid.1", or_stuck=True)
        assert (record.status, record.steps["charge"].state) == ("stuck", "done")
        assert "the key 'k1' is not known here" in str(record.stuck) + str(record.steps["note"].error)
        assert not server.commands
    async with member(server, Paid(), payload_codec=codec("k2", "k1")) as running:
        handle = await running.runtime.get(Paid, "1")
        with trio.fail_after(1000):
            await handle.retry("the key is back", by="ann")
            assert await handle.outcome() == Completed("rosebud paid")


async def test_a_worker_with_a_codec_goes_on_with_a_plain_saga(autojump_clock: Clock) -> None:
    server = MemoryServer()
    await left_behind(server, None)
    async with member(server, Slow(), payload_codec=codec("k1")) as running:
        with trio.fail_after(1000):
            assert await (await running.runtime.get(Slow, "1")).outcome() == Completed(f"two {SECRET}")
        record = await running.runtime.load(Slow, "1")
    assert bytes(record.input) == b'"rosebud"'
    assert is_sealed(record.steps["two"].result)


async def test_a_program_without_the_key_says_so_when_it_asks_for_the_outcome(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Slow(), payload_codec=codec("k1")) as running:
        await running.runtime.execute(Slow, "1", SECRET)
    async with member(server, Slow()) as running:
        with pytest.raises(NotAllowed, match=r"output cannot be read.*'aes-gcm/k1'"):
            await (await running.runtime.get(Slow, "1")).outcome()
