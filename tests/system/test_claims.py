"""Large values are stored beside the records, which have claims in their places. Nobody but the store sees a claim."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import sagakit
import trio
import trio.testing
from sagakit import AlreadyStarted, Completed, Context, Failed, InputTooLarge, Saga, signal, step
from sagakit.engine.value_claims import LARGEST, ValueClaim, claim_of, claims_in, read_claim
from sagakit.errors import ValueLost
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.claimed_values import PART, keys_of, read_value
from sagakit.store.faults import StoreFault, Watched
from sagakit.store.memory_server import MemoryServer
from sagakit.system import large_values

from tests.system.members import Member, events_of, killable, member, stands, within
from tests.system.papers import ABOVE, LARGE, Paper, Print, check_whole, records

Clock = trio.testing.MockClock
TEXT = "a" * LARGE


async def test_values_that_no_message_could_hold_are_kept_beside_the_record(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print(), claim_above=ABOVE) as one:
        handle = await one.runtime.start(Print, "p", Paper(TEXT))
        assert await handle.outcome() == Completed(TEXT.upper() + str(2 * LARGE + 2))
        await one.retired()
        record = await one.runtime.load(Print, "p")
        assert json.loads(bytes(record.input))["text"] == TEXT, "the program sees the value, and no claim"
        assert (await one.runtime.describe(Print, "p")).steps[0].result == TEXT.upper()
    archived = server.bucket("SAGA_ARCHIVE").read("Print.p")
    assert archived is not None
    assert len(archived.value) < 3_000
    [loaded] = records(server)
    assert len({claim.name for claim in claims_in(loaded.record)}) == 5, "input, typeset, two pages, output"
    check_whole(server)
    assert all(len(json.dumps(event)) < 1_000 for event in events_of(server, "p")), "events have the same claims"


async def test_a_history_has_the_values(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Print(), claim_above=ABOVE) as one:
        await (await one.runtime.start(Print, "p", Paper(TEXT))).outcome()
        for _ in range(2):
            history = await one.runtime.history(Print, "p")
            by_type = {event.type.split(".", 2)[2]: event.data for event in history.events}
            assert by_type["started"]["input"]["text"] == TEXT  # type: ignore[index]
            assert by_type["step.typeset"]["result"] == TEXT.upper()
            assert by_type["completed"]["output"] == TEXT.upper() + str(2 * LARGE + 2)
            [*_, last] = history.replay()
            assert last.record.status == "completed"
            await one.retired()


async def test_small_values_stay_in_the_record_and_it_is_as_it_was(autojump_clock: Clock) -> None:
    on, off = MemoryServer(), MemoryServer()
    for server, options in ((on, {"claim_above": ABOVE}), (off, {})):
        async with member(server, Print(), **options) as one:
            await (await one.runtime.start(Print, "p", Paper("abc"))).outcome()
            await one.retired()
    assert not list(on.bucket("SAGA_VALUES").entries(""))
    found = [stands(server, "SAGA_ARCHIVE", "Print.p") or {} for server in (on, off)]
    for field in ("schema", "input", "input_digest"):
        assert found[0][field] == found[1][field]
    assert found[0]["schema"] == 1
    assert found[0]["outcome"]["output"] == found[1]["outcome"]["output"]


async def test_inputs_stored_apart_are_read_a_few_at_a_time(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_values, "INPUTS", 150_000)
    server, value = MemoryServer(), json.dumps({"text": "a" * 60_000}).encode()
    claim, read = claim_of(value, "sent"), read_value
    at_once, most = 0, 0

    async def counting(*args: Any) -> bytes:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await trio.sleep(0.1)
        at_once -= 1
        return await read(*args)

    monkeypatch.setattr(large_values, "read_value", counting)
    async with member(server, Print(), claim_above=ABOVE) as one:
        for id in "abcdef":
            for number, key in enumerate(keys_of("start", f"Print.{id}", claim)):
                await one.store.values.put(key, value[number * PART :][:PART])
            start = msgspec.json.encode(InboxRequest(kind="start", input=claim.as_value()))
            await one.store.inbox.send("client", id=id, saga_type="Print", saga_id=id, payload=start)
        await trio.sleep(60)
        for id in "abcdef":
            assert await one.runtime.ended(f"Print.{id}")
    assert most == 2, "three would be more bytes than there may be"


async def test_a_budget_of_bytes_is_had_in_turn_and_given_back(autojump_clock: Clock) -> None:
    budget, order = large_values.ByteBudget(10), list[int]()

    async def spend(size: int) -> None:
        async with budget.spend(size):
            order.append(size)
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for size in (6, 7, 1, 99):
            nursery.start_soon(spend, size)
            await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.5):
            await spend(3)
    assert order == [6, 7, 1, 99], "a small one does not overtake a large one, and more than all is all"
    with trio.fail_after(60):
        await spend(10)


async def test_without_the_option_a_large_input_is_refused(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Print()) as one:
        with pytest.raises(InputTooLarge):
            await one.runtime.start(Print, "p", Paper(TEXT))


async def test_an_input_that_no_worker_should_hold_is_refused(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Print(), claim_above=ABOVE) as one:
        with pytest.raises(InputTooLarge):
            await one.runtime.start(Print, "p", Paper("a" * LARGEST))


async def test_the_same_start_again_returns_the_saga_and_another_input_is_refused(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Print(), claim_above=ABOVE) as one:
        await one.runtime.start(Print, "p", Paper(TEXT))
        handle = await one.runtime.start(Print, "p", Paper(TEXT))
        with pytest.raises(AlreadyStarted):
            await one.runtime.start(Print, "p", Paper("b" * LARGE))
        await handle.outcome()
        await one.retired()
        await one.runtime.start(Print, "p", Paper(TEXT))
        with pytest.raises(AlreadyStarted):
            await one.runtime.start(Print, "p", Paper("b" * LARGE))


async def test_compensations_get_the_value(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Print(), claim_above=ABOVE) as one:
        Print.undone.clear()
        outcome = await (await one.runtime.start(Print, "p", Paper(TEXT, refused=True))).outcome()
        assert isinstance(outcome, Failed)
        assert Print.undone == [LARGE]


# ------------------------------------------------------------------------- crashes


class Killer:
    """Kills a worker at one write, before or after it is applied, and checks at each write that no value is missing."""

    def __init__(self, server: MemoryServer, number: int, *, after: bool) -> None:
        self.victim: Member | None = None
        self.seen = 0
        self.struck = ""
        self._server = server
        self._number = number
        server.faults.before_write = None if after else self._count
        server.faults.after_write = self._after if after else self._check

    def _after(self, write: Watched) -> None:
        self._check(write)
        self._count(write)

    def _check(self, write: Watched) -> None:
        if write.where in ("state", "archive"):
            check_whole(self._server)

    def _count(self, write: Watched) -> None:
        if self.victim is None or write.where not in ("values", "state", "archive"):
            return
        self.seen += 1
        if self.seen == self._number:
            self.struck = f"{write.where} {write.key[:40]}"
            self.victim.kill()


async def test_a_value_is_stored_before_the_record_that_names_it(autojump_clock: Clock) -> None:
    server = MemoryServer()
    killer = Killer(server, 0, after=False)
    async with member(server, Print(), claim_above=ABOVE) as one:
        killer.victim = one
        await (await one.runtime.start(Print, "p", Paper("x" * 50_000))).outcome()
        await one.retired()
    assert killer.seen > 10


@pytest.mark.long
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_kill_at_any_write_leaves_no_record_that_names_a_value_which_is_not_there(
    after: bool, autojump_clock: Clock
) -> None:
    text, number = "x" * 50_000, 0
    while True:
        number += 1
        server = MemoryServer()
        async with killable() as start:
            killer = Killer(server, number, after=after)
            killer.victim = victim = await start(server, Print(), claim_above=ABOVE, lease_ttl=1.0)
            with within(1000, f"write {number} ({killer.struck}): the saga does not end"):
                with trio.move_on_after(30):
                    await (await victim.runtime.start(Print, "p", Paper(text))).outcome()
                    await victim.retired()
                survivor = await start(server, Print(), claim_above=ABOVE, lease_ttl=1.0)
                outcome = await (await survivor.runtime.start(Print, "p", Paper(text))).outcome()
            assert outcome == Completed(text.upper() + str(2 * len(text) + 2)), f"write {number}, {killer.struck}"
            await survivor.retired()
            check_whole(server)
        if not killer.struck:
            break
    assert number > 15, "each part of each value and each record was struck"


@pytest.mark.parametrize("kind", ["lose_ack", "never_applied", "applied_late", "slow", "unsent"])
async def test_a_write_of_a_value_that_fails_is_repeated(kind: Any, autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Print(), claim_above=ABOVE) as one:
        await (await one.runtime.start(Print, "first", Paper(TEXT))).outcome()
        faults = [StoreFault(kind=kind, delay=1.0) for _ in range(3)]
        server.faults.order(*faults)
        outcome = await (await one.runtime.start(Print, "p", Paper(TEXT))).outcome()
        assert outcome == Completed(TEXT.upper() + str(2 * LARGE + 2))
        assert not server.faults.left
    check_whole(server)


# ------------------------------------------------------------------------- lost values


async def saga_at_rest(server: MemoryServer) -> str:
    """Leave a saga of a dead worker in the store. Return the key of a part of its input."""
    async with killable() as start:
        one = await start(server, Print(), claim_above=ABOVE)
        await one.runtime.start(Print, "p", Paper(TEXT))
        one.kill()
    [loaded] = records(server)
    claim = claims_in(loaded.record)[0]
    return f"saga.Print.p.{claim.name}.1"


@pytest.mark.parametrize("damage", ["missing", "changed"])
async def test_a_saga_whose_value_is_lost_is_left_alone_and_goes_on_once_it_is_back(
    damage: str, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    part = await saga_at_rest(server)
    values = server.bucket("SAGA_VALUES")
    entry = values.read(part)
    assert entry is not None
    async with member(server, Print(), claim_above=ABOVE, scan_interval=5.0) as one:
        if damage == "missing":
            values.purge(part, None)
        else:
            await one.store.values.put(part, b"z" + entry.value[1:])
        await trio.sleep(60)
        told = [message for message in caplog.messages if "restore the bucket SAGA_VALUES" in message]
        assert len(told) == 1, "it is reported once"
        assert damage.replace("changed", "damaged") in told[0]
        assert await (await one.runtime.start(Print, "q", Paper(TEXT))).outcome(), "others are not harmed"
        with pytest.raises(ValueLost, match=r"Print\.p"):
            await one.runtime.load(Print, "p")
        await one.store.values.put(part, entry.value)
        with within(1000, "it does not go on"):
            handle = await one.runtime.get(Print, "p")
            assert await handle.outcome() == Completed(TEXT.upper() + str(2 * LARGE + 2))


async def test_claims_are_filled_in_after_the_option_was_switched_off(autojump_clock: Clock) -> None:
    server = MemoryServer()
    await saga_at_rest(server)
    async with member(server, Print()) as one:
        with within(1000, "it does not end"):
            record = await one.runtime.ended("Print.p", or_stuck=True)
    assert json.loads(bytes(record.input))["text"] == TEXT


# ------------------------------------------------------------------------- the form of a claim


class Forge(Saga[str, str]):
    """A step returns JSON that has the form of a claim, and a signal brings an object."""

    @step(compensate=None)
    async def forged(self, text: str, ctx: Context) -> Any:
        return json.loads(bytes(claim_of(b"1", ctx.run).as_value()))

    brought = signal(dict[str, Any], after=[forged])

    def output(self, input: str, ctx: Context) -> str:
        return str(ctx.result(Forge.forged))


async def test_a_value_of_a_user_that_has_the_form_of_a_claim_comes_back_as_it_is(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Forge(), claim_above=ABOVE) as one:
        handle = await one.runtime.start(Forge, "f", TEXT)
        run = (await one.runtime.load(Forge, "f")).run
        forged: dict[str, Any] = json.loads(bytes(claim_of(b"1", run).as_value()))
        with pytest.raises(sagakit.SagakitError, match="form of a reference"):
            await one.runtime.signal(Forge, "f", Forge.brought, forged)
        await one.runtime.signal(Forge, "f", Forge.brought, {"not": "a claim"})
        assert await handle.outcome() == Completed(str(forged))
        await one.retired()
        assert str((await one.runtime.describe(Forge, "f")).steps[0].result) == str(forged)
    check_whole(server)


def test_only_the_exact_form_is_a_claim() -> None:
    claim = claim_of(b'"abc"', "run")
    assert read_claim(claim.as_value()) == claim == ValueClaim("run", claim.sha256, 5)
    for other in (b'{"$sagakit.claim":1}', bytes(claim.as_value()) + b" ", b"null", b"", b"x" * 300):
        assert read_claim(msgspec.Raw(other)) is None
