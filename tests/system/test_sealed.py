"""Sealed values: with a payload codec nothing is stored in plain form, and each value is bound to its place.

The secret word of each test is in every value of a saga. It must not be in any byte that reaches the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as some
from sagakit import (
    AlreadyStarted,
    Completed,
    Context,
    Failed,
    InvalidInput,
    NotAllowed,
    OldSaga,
    Reject,
    RetryPolicy,
    Saga,
    child,
    each,
    remote,
    signal,
    step,
)
from sagakit.client.shown_values import ShownValues
from sagakit.definition.payloads import Compressed, PayloadPlace, Payloads, Sealed, digest_of, is_sealed
from sagakit.encryption import Encrypted
from sagakit.errors import UnreadableValue, Unwritable
from sagakit.naming import SagaKey
from sagakit.store.memory_server import MemoryBucket, MemoryServer

from tests.system.members import Member, killable, member
from tests.system.test_remote import reply, taken

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
        assert (await running.runtime.start(Everything, "1", SECRET)).key == first.key
        with pytest.raises(AlreadyStarted):
            await running.runtime.start(Everything, "1", "another")
    async with member(server, Everything(), Part(), payload_codec=codec("k2", "k1")) as running:  # the key was rotated
        await running.runtime.start(Everything, "1", SECRET)
        with pytest.raises(AlreadyStarted):
            await running.runtime.start(Everything, "1", "another")


def test_a_digest_is_that_of_the_plain_json_and_needs_a_key_to_be_guessed() -> None:
    saga, value = SagaKey("Order", "1"), b'"yes"'
    one, rotated = Payloads(codec("k1")), Payloads(codec("k2", "k1"))
    sealed = [digest_of(one.sealed(value, saga, "input")) for _ in range(2)]
    assert sealed[0] == sealed[1] != digest_of(value)
    assert sealed[0] in rotated.digests(value)
    assert rotated.digests(value)[0] != sealed[0]
    assert digest_of(value) in one.digests(value)  # of a saga that was started before there was a codec
    assert digest_of(Payloads(Compressed(above=0)).sealed(b'"%b"' % (b"a" * 99), saga, "input")) == digest_of(
        b'"%b"' % (b"a" * 99)
    )


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


# ----------------------------------------------------------------- places


def test_a_sealed_value_is_bound_to_its_saga_and_its_part() -> None:
    payloads = Payloads(codec("k1"))
    here = SagaKey("Order", "1")
    sealed = payloads.sealed(b'"paid"', here, "result/charge")
    assert payloads.opened(sealed, here, "result/charge") == b'"paid"'
    elsewhere = [
        (SagaKey("Order", "2"), "result/charge"), (SagaKey("Offer", "1"), "result/charge"), (here, "result/ship"),
        (here, "input"),
    ]  # fmt: skip
    for saga, part in elsewhere:
        with pytest.raises(UnreadableValue, match="does not belong to"):
            payloads.opened(sealed, saga, part)
    other_digest = sealed.replace(digest_of(sealed).encode(), b"0" * 16)
    with pytest.raises(UnreadableValue):
        payloads.opened(other_digest, here, "result/charge")


@pytest.mark.parametrize(
    "damaged",
    [
        b'{"$sealed":[],"digest":"","data":""}', b'{"$sealed":["aes-gcm/k1"]}', b'{"$sealed":3}', b'{"$sealed":',
        b'{"$sealed":["zlib"],"digest":"","data":"eA=="}', b'{"$sealed":["aes-gcm/k1"],"digest":"","data":"eA=="}',
    ],
)  # fmt: skip
def test_damaged_values_are_unreadable(damaged: bytes) -> None:
    payloads = Payloads([Compressed(), codec("k1")])
    with pytest.raises(UnreadableValue):
        payloads.opened(damaged, SagaKey("Order", "1"), "input")
    digest_of(damaged)  # and telling inputs apart does not fail


class RenamedV1(Saga[str], name="Renamed"):
    def __init__(self) -> None:
        self.reached = trio.Event()

    @step(compensate=None)
    async def old(self, value: str, ctx: Context) -> str:
        return f"old {value}"

    @each(old, lambda found: [f"{found} a"], compensate=None)
    async def pack(self, value: str, item: str, ctx: Context) -> str:
        self.reached.set()
        await trio.Event().wait()  # for ever
        return item


class RenamedV2(Saga[list[str], str], name="Renamed", version=2):
    @step(compensate=None)
    async def new(self, value: list[str], ctx: Context) -> str:
        return ""

    @each(new, lambda found: [f"{found} a"], compensate=None, on_unknown="retry")
    async def wrap(self, value: list[str], item: str, ctx: Context) -> str:
        return item

    go = signal(str, after=[wrap])

    def migrate(self, old: OldSaga) -> None:
        old.input = [old.input]
        old.results["old"] = old.results["old"].upper()
        old.names.update(old="new", pack="wrap")

    def output(self, input: list[str], ctx: Context) -> str:
        return f"{input} {ctx.result(RenamedV2.new)} {ctx.result(RenamedV2.wrap)} {ctx.result(RenamedV2.go)}"


async def test_a_migration_reads_and_writes_sealed_values_whatever_steps_are_called(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    with everything_stored(monkeypatch, server) as stored:
        async with killable() as start:
            first = RenamedV1()
            victim = await start(server, first, payload_codec=codec("k1"))
            await victim.runtime.start(RenamedV1, "1", SECRET)
            await first.reached.wait()
            victim.kill()
        async with member(server, RenamedV2(), payload_codec=codec("k1")) as running:
            with trio.fail_after(1000):
                while (await running.runtime.record("Renamed.1")).definition_version != 2:  # noqa: ASYNC110
                    await trio.sleep(1)
                await running.runtime.apply("Renamed.1", "retry", by="eve", reason="it is safe")
                await running.runtime.signal(RenamedV2, "1", RenamedV2.go, SECRET)
                outcome = await (await running.runtime.get(RenamedV2, "1")).outcome()
    assert outcome == Completed("['rosebud'] OLD ROSEBUD ['old rosebud a'] rosebud")
    assert [found for found in stored if SECRET.encode() in found.lower()] == []


# ------------------------------------------------------------- properties

JSON = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(min_size=1), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(JSON, some.text(min_size=1), some.integers(0, 100))
def test_any_value_comes_back_and_does_not_show(value: Any, part: str, above: int) -> None:
    payloads, saga = Payloads([Compressed(above=above), codec("k1")]), SagaKey("Order", "1")
    plain = msgspec.json.encode(value)
    if is_sealed(plain):
        with pytest.raises(Unwritable):
            payloads.sealed(plain, saga, part)
        return
    sealed = payloads.sealed(plain, saga, part)
    assert bytes(payloads.opened(sealed, saga, part)) == plain
    assert msgspec.json.encode(msgspec.json.decode(sealed)) == sealed
    if plain != b"null":
        assert is_sealed(sealed)
        assert len(plain) < 8 or plain not in sealed


@settings(max_examples=200, deadline=None)
@given(some.binary(min_size=1, max_size=8), some.integers(0, 300))
def test_any_change_of_the_bytes_is_found(change: bytes, at: int) -> None:
    payloads, saga = Payloads(codec("k1")), SagaKey("Order", "1")
    sealed = payloads.sealed(b'{"a":1}', saga, "input")
    at %= len(sealed)
    damaged = sealed[:at] + change + sealed[at + len(change) :]
    if not is_sealed(damaged):
        return
    with suppress(UnreadableValue):
        assert payloads.opened(damaged, saga, "input") == b'{"a":1}'  # such as another space between fields


def test_shown_values_never_raise_and_hide_nothing_from_who_has_the_key() -> None:
    payloads, saga = Payloads(codec("k1")), SagaKey("Order", "1")
    value = msgspec.json.decode(payloads.sealed(b'"paid"', saga, "result/charge"))
    assert ShownValues(payloads).value(value, saga, "result/charge") == "paid"
    assert ShownValues().value(value, saga, "result/charge") == "sealed with aes-gcm/k1, 34 bytes"
    assert ShownValues().told({"a": [value]}) == {"a": ["sealed with aes-gcm/k1, 34 bytes"]}
