"""The live bucket is lost in the middle of a run: every saga comes back, ended or stuck, and the books balance."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
import trio.testing
from sagakit import Completed, Config, Context, Failed, Runtime, open_runtime
from sagakit.client.bare_errors import bare_errors
from sagakit.client.by_key import open_plain
from sagakit.client.restoring import RebuiltSaga, rebuild
from sagakit.engine import decode
from sagakit.engine.codec import Loaded
from sagakit.engine.record import UndoRequest
from sagakit.errors import NotAllowed
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names

from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.system.members import EPOCH, killable, member
from tests.system.stopped_trips import Stop
from tests.system.test_operator_mishaps import api

Clock = trio.testing.MockClock
SAGAS = 36


class Agencies:
    """The books of all participants: what is booked, by idempotency key. A cancellation spoils the key."""

    def __init__(self) -> None:
        self.booked: set[str] = set()
        self.spoilt: set[str] = set()
        self.calls = 0

    async def hook(self, name: str, ctx: Context) -> None:
        self.calls += 1
        await trio.sleep(0.01 * (1 + self.calls % 7))  # so that the sagas are at different steps when the bucket goes
        self.note(name, ctx)

    def note(self, name: str, ctx: Context) -> None:
        if name.startswith("cancel_"):
            assert ctx.action_key is not None
            self.spoilt.add(ctx.action_key)
            self.booked.discard(ctx.action_key)
        elif ctx.key not in self.spoilt:
            self.booked.add(ctx.key)

    def of(self, saga_id: str) -> list[str]:
        return sorted(key.split("/")[3] for key in self.booked if key.split("/")[1] == saga_id)


class Interrupted(Agencies):
    """Agencies of which no call ends any more once so many have come. Every second one of these has its effect."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls
        self.hang = trio.Event()

    async def hook(self, name: str, ctx: Context) -> None:
        self.calls += 1
        self.left -= 1
        if self.left >= 0 or self.calls % 2:
            self.note(name, ctx)
        if self.left < 0:
            self.hang.set()
            await trio.sleep_forever()


def refuses(number: int) -> Trip:
    return Trip(refuse="tickets") if number % 4 == 3 else Trip()


async def rebuilt(server: MemoryServer, **options: float | bool | None) -> list[RebuiltSaga]:
    given = {"until": None, "archive_ttl": None} | options
    with bare_errors():
        async with open_memory(server, names=Names()) as store:
            return await rebuild(store, by="ann", why="the disk is gone", **given)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("after", [0.02, 0.05, 0.08, 0.12])
async def test_every_saga_is_back_and_after_a_retry_the_books_balance(autojump_clock: Clock, after: float) -> None:
    server, agencies = MemoryServer(), Agencies()
    async with killable() as start:
        first = await start(server, BookTrip(agencies.hook))
        for number in range(SAGAS):
            await first.runtime.start(BookTrip, f"trip-{number}", refuses(number))
        await trio.sleep(after)
        first.kill()
    server.forget("SAGA_STATE")
    found = await rebuilt(server)
    assert [one.key for one in found] == sorted(f"BookTrip.trip-{number}" for number in range(SAGAS))
    assert {one.result for one in found} <= {"stuck", "archived", "there"}
    assert any(one.result == "stuck" for one in found)
    async with member(server, BookTrip(agencies.hook)) as second:
        await trio.sleep(30)
        await retry_and_audit(second.runtime, found, agencies)


async def retry_and_audit(runtime: Runtime, found: Sequence[RebuiltSaga], agencies: Agencies) -> None:
    """Let all stuck sagas go on, and compare what is booked in the end with how each saga ends."""
    stuck = (await runtime.list(status="stuck", limit=SAGAS)).items
    assert {info.key for info in stuck} == {one.key for one in found if one.result == "stuck"}
    assert all(info.stuck == "rebuilt from its events: the disk is gone" for info in stuck)
    await runtime.bulk("retry", stuck, reason="rebuilt", by="ann", dry_run=False)
    for number in range(SAGAS):
        outcome = await (await runtime.get(BookTrip, f"trip-{number}")).outcome()
        refused = number % 4 == 3
        assert isinstance(outcome, Failed if refused else Completed), number
        expected = ["tickets"] if refused else ["flight", "hotel", "tickets"]
        assert agencies.of(f"trip-{number}") == expected, number


async def test_a_live_bucket_that_is_deleted_on_a_server_in_the_middle_of_a_run(server: Server, namespace: str) -> None:
    agencies = Interrupted(calls=SAGAS)
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            runtime = await nursery.start(run_until_cancelled, server.url, namespace, agencies)
            for number in range(SAGAS):
                await runtime.start(BookTrip, f"trip-{number}", refuses(number))
            await agencies.hang.wait()
            async with open_link(Connection(servers=(server.url,))) as link:
                await api(link, f"STREAM.DELETE.KV_{namespace}_SAGA_STATE")
            nursery.cancel_scope.cancel()
        agencies.left = 1_000_000
        async with open_plain(server.url, Config(namespace=namespace)) as access:
            found = await access.rebuild(by="ann", why="the disk is gone", until=None)
        assert [one.key for one in found] == sorted(f"BookTrip.trip-{number}" for number in range(SAGAS))
        results = [one.result for one in found]
        assert set(results) <= {"stuck", "there", "archived"}
        assert results.count("stuck") >= SAGAS * 2 // 3, "each call that ended was one of three of its saga"
        async with open_runtime(server.url, sagas=[BookTrip(agencies.hook)], namespace=namespace) as second:
            await retry_and_audit(second, found, agencies)


async def run_until_cancelled(
    url: str, namespace: str, agencies: Agencies, *, task_status: trio.TaskStatus[Runtime]
) -> None:
    async with open_runtime(url, sagas=[BookTrip(agencies.hook)], namespace=namespace) as runtime:
        task_status.started(runtime)
        await trio.sleep_forever()


async def test_what_had_ended_is_in_the_archive_again_and_does_not_start_anew(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as first:
        await first.runtime.execute(BookTrip, "one", Trip())
        await first.retired()
        before = (await first.runtime.history(BookTrip, "one")).record
    for bucket in ("SAGA_STATE", "SAGA_ARCHIVE"):
        server.forget(bucket)
    assert [one.result for one in await rebuilt(server, dry_run=True)] == ["archived"]
    assert server.bucket("SAGA_ARCHIVE").read("BookTrip.one") is None
    assert [one.result for one in await rebuilt(server)] == ["archived"]
    assert [one.result for one in await rebuilt(server)] == ["there"]
    entry = server.bucket("SAGA_ARCHIVE").read("BookTrip.one")
    assert entry is not None
    after = decode("BookTrip.one", entry.value)
    assert isinstance(after, Loaded)
    for name in ("run", "input", "input_digest", "definition_version", "plan_digest", "next_event", "start_id"):
        assert getattr(after.record, name) == getattr(before, name), name
    assert {name: (log.state, log.result) for name, log in after.record.steps.items()} == {
        name: (log.state, log.result) for name, log in before.steps.items()
    }
    async with member(server, saga) as second:
        assert await second.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
        assert saga.names == ["hotel", "flight", "tickets"]


async def test_a_saga_that_was_started_after_the_time_is_left_for_a_rebuild_without_one(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as first:
        await first.runtime.execute(BookTrip, "early", Trip())
        await trio.sleep(10)
        await first.runtime.execute(BookTrip, "late", Trip())
        await first.retired()
    for bucket in ("SAGA_STATE", "SAGA_ARCHIVE"):
        server.forget(bucket)
    found = [(one.key, one.result) for one in await rebuilt(server, until=EPOCH + 5)]
    assert found == [("BookTrip.early", "archived"), ("BookTrip.late", "later")]
    assert server.bucket("SAGA_STATE").read("BookTrip.late") is None
    assert [one.result for one in await rebuilt(server)] == ["there", "archived"]


async def test_a_time_between_two_lives_of_an_id_brings_the_first_one(autojump_clock: Clock) -> None:
    server, runs = MemoryServer(), []
    for _ in range(2):
        async with member(server, BookTrip()) as worker:
            await worker.runtime.execute(BookTrip, "one", Trip())
            runs.append((await worker.runtime.load(BookTrip, "one")).run)
            await worker.retired()
            await trio.sleep(10)
        for bucket in ("SAGA_STATE", "SAGA_ARCHIVE"):
            server.forget(bucket)
    assert [(one.result, one.run) for one in await rebuilt(server, until=EPOCH + 5)] == [("archived", runs[0])]
    assert [(one.result, one.run) for one in await rebuilt(server)] == [("archived", runs[1])], "the last life"


async def test_a_time_before_the_end_brings_the_saga_back_as_it_was(autojump_clock: Clock) -> None:
    server, agencies = MemoryServer(), Agencies()
    async with member(server, BookTrip(agencies.hook)) as first:
        await first.runtime.execute(BookTrip, "one", Trip())
        await first.retired()
    for bucket in ("SAGA_STATE", "SAGA_ARCHIVE"):
        server.forget(bucket)
    assert [one.result for one in await rebuilt(server, until=EPOCH + 0.025)] == ["stuck"]
    async with member(server, BookTrip(agencies.hook)) as second:
        await trio.sleep(30)
        record = await second.runtime.load(BookTrip, "one")
        assert record.next_event > 6, "the numbers of the events that are in the log are not used again"
        assert record.steps["tickets"].state == "pending"
        assert record.steps["tickets"].unsure
        await (await second.runtime.get(BookTrip, "one")).retry("rebuilt", by="ann")
        assert await (await second.runtime.get(BookTrip, "one")).outcome() == Completed("tickets-Rome")
    assert agencies.of("one") == ["flight", "hotel", "tickets"], "each was called again under its key"


async def test_a_cancel_that_waited_for_the_pivot_is_kept_and_reported(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("tickets")
    async with killable() as start:
        first = await start(server, BookTrip(stop))
        for saga_id, by in (("by-ann", "ann"), ("by-a-program", "")):
            handle = await first.runtime.start(BookTrip, saga_id, Trip())
            await stop.reached.wait()
            stop.reached = trio.Event()
            await handle.cancel("not wanted", by=by)
        await trio.sleep(1)  # until the events are in the log
        first.kill()
    server.forget("SAGA_STATE")
    told = [("BookTrip.by-a-program", "stuck", ""), ("BookTrip.by-ann", "stuck", "a cancel waits: not wanted")]
    for dry_run in (True, False):
        assert [(one.key, one.result, one.why) for one in await rebuilt(server, dry_run=dry_run)] == told
    async with member(server, BookTrip()) as second:
        await trio.sleep(30)
        record = await second.runtime.load(BookTrip, "by-ann")
        assert record.undo_request == UndoRequest("cancelled", "not wanted")


async def test_nothing_is_rebuilt_while_a_worker_lives(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()):
        with pytest.raises(NotAllowed, match="lives: stop all workers, then rebuild"):
            await rebuilt(server)


async def test_a_saga_whose_first_event_or_plan_is_gone_is_reported(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as first:
        await first.runtime.execute(BookTrip, "one", Trip())
        await first.runtime.execute(BookTrip, "two", Trip())
        await first.retired()
    for bucket in ("SAGA_STATE", "SAGA_ARCHIVE"):
        server.forget(bucket)
    server.events_lost = 1
    one, two = await rebuilt(server)
    assert (one.result, two.result) == ("not rebuilt", "archived")
    assert "its first event is gone" in one.why
    for bucket in ("SAGA_ARCHIVE", "SAGA_META"):
        server.forget(bucket)
    _, two = await rebuilt(server)
    assert (two.result, two.why) == ("not rebuilt", "the plan of version 1 is not kept: run a worker once")
