"""Tests of least privilege: the documented permissions are enough, and each of them is used.

See docs/architecture.md, "Who may write".

Workers are real processes under the account worker; the server denies everything that is not listed, and traces what it
is asked for.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
from msgspec import structs
from sagakit import Completed, open_runtime
from sagakit.client.command_sending import CommandSender
from sagakit.client.jobs import Holder, Job, JobItem, Jobs
from sagakit.client.letters import Letters
from sagakit.client.lookup import Lookup
from sagakit.cluster.lease import read_lease
from sagakit.engine import Record
from sagakit.jetstream.link_wire import LinkWire
from sagakit.jetstream.scan import Scan
from sagakit.jetstream.store import JetStreamStore
from sagakit.participant import CommandContext, MemoryKeys, Service, open_participant
from sagakit.repository import SagaRepository, Wanted
from sagakit.store.names import Names, SagaKey, captures
from sagakit.store.permissions import ROLES, Role, batched_streams, permissions_of, streams_of
from sagakit.store.ports import Burial, Parking, Store

from tests.security.accounts import (
    SERVERS,
    Client,
    Serve,
    open_client,
    opened,
    options,
    prefix,
    published,
    subscribed,
    violations,
    worker_process,
)
from tests.security.work import Gift, Wish
from tests.servers import Server

NAMES = [Names(), Names(namespace="shop", shards=2)]


IDS = ["plain", "namespace-and-shards"]


@SERVERS
@pytest.mark.parametrize("names", NAMES, ids=IDS)
async def test_the_smoke_part_under_exactly_these_permissions(tmp_path: Path, names: Names, serve: Serve) -> None:
    gate = tmp_path / "gate"
    with serve(tmp_path, names) as server:
        async with opened(server, "setup", names) as store:
            await of_an_older_version(store)
            await store.complete_layout()
        async with open_client(server, names) as shop, opened(server, "reader", names) as reader:
            with worker_process(server, names, "first") as first, worker_process(server, names, "second") as second:
                ids = {"first": await first.until_up(), "second": await second.until_up()}
                async with watching(reader), watching(shop.store):
                    await completes_fails_and_is_cancelled(shop)
                await hears_why_it_was_refused(shop.store)
                await sends_a_command(shop.store)
                await is_listed_with_its_history(reader)
                await sees_all_streams(reader)
                await is_listed_with_its_history(shop.store)
                await an_operator_terminates(server, names)
                await an_operator_writes_a_job(server, names, reader)
                await an_operator_handles_dead_letters(server, names, reader)
                await a_worker_looks_and_deletes(server, names)
                await a_participant_answers(server, names)
                await each_role_handles_large_values(server, names)

                await shop.send("Gift", "held", kind="start", input={"name": "sled", "gate": str(gate)})
                held = await shop.until("Gift", "held", lambda record: state_of(record, "choose") == "running")
                victim, heir = (first, "second") if held.owner == ids["first"] else (second, "first")
                victim.popen.send_signal(signal.SIGKILL)
                gate.touch()
                adopted = await shop.until("Gift", "held", lambda record: record.owner == ids[heir])
                assert adopted.epoch > held.epoch
                await shop.send("Gift", "held", kind="signal", step="card", payload="love")
                assert (await shop.ended("Gift", "held")).status == "completed"

                with trio.fail_after(60):  # the child waits for its parent's word that it is not needed any more
                    while await live(reader):  # noqa: ASYNC110  # another process
                        await trio.sleep(0.05)
                survivor = second if victim is first else first
                survivor.popen.send_signal(signal.SIGTERM)
                assert await survivor.ended() == 0
                lease = await read_lease(reader, ids[heir])  # one that still covered a saga names it for the others
                assert lease is None or lease.handed_back
        assert violations(server) == []
        for role in ROLES if names.shards == 1 else ():  # few sagas do not reach every shard
            assert unused(server, role, names) == [], f"{role}: permissions that nothing here needs"


async def of_an_older_version(store: Store) -> None:
    """Take from the streams what an older version has not given them."""
    assert isinstance(store, JetStreamStore)
    for stream in batched_streams(store.names):
        info = msgspec.json.decode(await store.wire.request(f"$JS.API.STREAM.INFO.{stream}"))
        config = msgspec.json.encode(info["config"] | {"allow_atomic": False})
        assert b'"error"' not in await store.wire.request(f"$JS.API.STREAM.UPDATE.{stream}", config)


async def each_role_handles_large_values(server: Server, names: Names) -> None:
    """Store, read and remove large values, each role as far as it may. A client cannot touch what records name."""
    async with opened(server, "worker", names) as store:
        await store.check_values()
        await store.values.put("saga.Gift.large.run.digest.0", b"large")
        assert await store.reading.values.get("saga.Gift.large.run.digest.0") is not None
        assert await store.reading.values.subjects("saga.>")
        for role in ("client", "operator", "reader"):
            async with opened(server, role, names) as other:
                found = await other.reading.values.get("saga.Gift.large.run.digest.0")
                assert found is not None
                assert found.value == b"large"
                if role != "reader":
                    await other.values.put("start.Gift.large.sent.digest.0", b"input")
        await store.values.purge("saga.Gift.large.run.digest.0")


async def live(reader: Store) -> int:
    """Return the number of sagas with a record that is not archived yet."""
    return len((await SagaRepository(reader.reading).list(Wanted(types=["Gift", "Wrap"]))).items)


def unused(server: Server, role: Role, names: Names) -> list[str]:
    """Return the grants that the role has and did not use."""
    found = permissions_of(role, names, inbox_prefix=prefix(role))
    done = (
        published(server, role),
        {subject.replace(">", "x").replace("*", "x") for subject in subscribed(server, role)},
    )
    return [
        grant.subject
        for grants, subjects in zip((found.publish, found.subscribe), done, strict=True)
        for grant in grants
        if not any(captures(grant.subject, subject) for subject in subjects)
    ]


def state_of(record: Record, step: str) -> str | None:
    return record.steps[step].state if step in record.steps else None


async def completes_fails_and_is_cancelled(shop: Client) -> None:
    for saga_id, refuse in (("good", False), ("bad", True), ("called-off", False)):
        await shop.send("Gift", saga_id, kind="start", input={"name": "doll", "refuse": refuse})
    await shop.send("Gift", "good", kind="signal", step="card", payload="love")
    await shop.store.inbox.send("client", id="m", saga_type="Gift", saga_id="good", payload=b"this is not JSON")
    await shop.send("Gift", "bad", kind="signal", step="card", payload="love")
    await shop.until("Gift", "called-off", lambda record: state_of(record, "wrapped") == "done")
    await shop.send("Gift", "called-off", kind="cancel", reason="moved", by="ann")
    assert (await shop.ended("Gift", "good")).status == "completed"
    for saga_id, cause in (("bad", "rejected"), ("called-off", "cancelled")):
        record = await shop.ended("Gift", saga_id)
        assert record.failure is not None
        assert record.failure.cause == cause
        assert record.steps["choose"].state == "undone"


async def hears_why_it_was_refused(store: Store) -> None:
    assert isinstance(store, JetStreamStore)
    heard = await LinkWire(store._link).hear(store.names.dead_subject("inbox", "Gift"), lambda message: None)
    await heard.end()


async def sees_all_streams(store: Store) -> None:
    """Ask for each stream, as the doctor does."""
    assert isinstance(store, JetStreamStore)
    for stream in streams_of(store.names):
        assert b'"error"' not in await store.wire.request(f"$JS.API.STREAM.INFO.{stream}")


async def sends_a_command(store: Store) -> None:
    assert isinstance(store, JetStreamStore)
    await CommandSender(store.wire, store.names, Lookup(store.wire, store.names)).send("orders.place", {}, id="o7")


async def an_operator_terminates(server: Server, names: Names) -> None:
    async with opened(server, "operator", names) as store:
        operator = Client(store)
        await hears_why_it_was_refused(store)
        await sends_a_command(store)
        await sees_all_streams(store)
        async with watching(store):
            await operator.send("Gift", "stopped", kind="start", input={"name": "doll"})
            await operator.until("Gift", "stopped", lambda record: state_of(record, "wrapped") == "done")
            await operator.send("Gift", "stopped", kind="terminate", reason="fraud", by="bob")
        record = await operator.ended("Gift", "stopped")
        assert record.failure is not None
        assert record.failure.cause == "terminated"
        await is_listed_with_its_history(store)


async def an_operator_writes_a_job(server: Server, names: Names, reader: Store) -> None:
    assert isinstance(reader, JetStreamStore)
    async with opened(server, "operator", names) as store:
        assert isinstance(store, JetStreamStore)
        jobs = Jobs(store.wire, names)
        hold = await jobs.hold("j", Holder(by="bob", host="h", pid=1, token="t"), lambda _: None)
        items = [JobItem(key="Gift.good", run="r", status="stuck")]
        await jobs.write(Job(id="j", verb="retry", created=0.0, sagas=0, pages=0), items)
        for looker in (jobs, Jobs(reader.wire, names)):
            assert [(job.id, holder is None) for job, holder in await looker.list()] == [("j", False)]
            assert (await looker.read("j")).items() == items
        await hold.release()


async def an_operator_handles_dead_letters(server: Server, names: Names, reader: Store) -> None:
    """The letter is the message that is not JSON: sent again, it becomes a dead letter again."""
    assert isinstance(reader, JetStreamStore)
    looker, who = Letters(reader.wire, names), {"by": "bob", "reason": "a test"}
    with trio.fail_after(60):
        while not (found := await looker.list()):  # noqa: ASYNC110  # a worker writes it
            await trio.sleep(0.05)
    letter = await looker.get(found[0].sequence)
    async with opened(server, "operator", names) as store:
        assert isinstance(store, JetStreamStore)
        letters = Letters(store.wire, names)
        edited = await letters.edit(letter.sequence, b'{"kind": "no such kind"}', **who)
        id = await letters.resend(edited.sequence, **who)
        with trio.fail_after(60):
            while not (again := [one async for one in looker.all() if one.message_id == id]):  # noqa: ASYNC110  # a worker
                await trio.sleep(0.05)
        await letters.delete(again[0].sequence, **who)
    assert [change.verb for change in await looker.changes()] == ["delete", "resend", "edit"]


async def is_listed_with_its_history(reader: Store) -> None:
    key = str(SagaKey("Gift", "good"))
    with trio.fail_after(60):
        while await reader.archive.get(key) is None:  # noqa: ASYNC110  # another process archives it
            await trio.sleep(0.05)
    repository = SagaRepository(reader.reading)
    page = await repository.list(Wanted(types=["Gift"], status="completed", ended=True))
    assert "good" in [info.saga_id for info in page.items]
    live = await repository.list(Wanted(types=["Gift"]), limit=10)
    assert [info.saga_id for info in live.items if info.saga_id == "good"] == []
    record = await repository.get(key)
    searched = await repository.history(structs.replace(record, logged=[]))  # as of an older release
    assert len(searched.events) == len((await repository.history(record)).events)
    of_good = [event.sequence for event in (await repository.history(record)).events]
    assert of_good == list(range(1, len(of_good) + 1))
    assert len(of_good) > 5
    assert isinstance(reader, JetStreamStore)
    dead = reader.names.subject("sagadead.>")
    with trio.fail_after(60):
        while not [page async for page in Scan(LinkWire(reader._link), reader.names.dead, [dead]).pages()]:  # noqa: ASYNC110  # a worker writes it
            await trio.sleep(0.05)
    await reads_two_leases(reader)


async def reads_two_leases(reader: Store) -> None:
    """Wait for the leases of two workers. On a busy machine a lease may expire, until its worker renews it."""
    with trio.fail_after(60):
        while True:
            leases = [await reader.workers.get(worker_id) for worker_id in await reader.workers.keys()]
            if len(leases) - leases.count(None) >= 2:
                return
            await trio.sleep(0.05)  # other processes write them


@asynccontextmanager
async def watching(store: Store) -> AsyncIterator[None]:
    """Check that records and events arrive as they are written."""
    link = store._link  # type: ignore[attr-defined]  # no port for events as they come yet
    events = trio.Event()

    def on_event(msg: object) -> None:
        events.set()

    async with store.state.watch() as changes:
        subscription = await link.subscriptions.hear(store.names.subject("saga.>"), on_event)
        yield
        with trio.fail_after(60):
            await changes.__anext__()
            await events.wait()
        await link.on_asyncio(subscription.unsubscribe)


async def a_worker_looks_and_deletes(server: Server, names: Names) -> None:
    """Use a runtime as a worker's own program may. The child is of a type that the worker does not know."""
    async with open_runtime(server.url, sagas=[Gift()], **options("worker", names)) as runtime:
        handle = await runtime.start(Gift, "own", Wish("kite"))
        await runtime.signal(Gift, "own", Gift.card, "love")
        assert await handle.outcome() == Completed("kite with love")
        with trio.fail_after(60):
            while await runtime.list_active():  # noqa: ASYNC110  # archived soon after
                await trio.sleep(0.02)
        assert "own" in [info.saga_id for info in (await runtime.list(status="completed", type=Gift)).items]
        assert len((await runtime.history(Gift, "own")).events) > 5
        record = structs.replace(await runtime.load(Gift, "own"), logged=[])  # as of an older release
        assert len((await SagaRepository(runtime._store.reading).history(record)).events) > 5
        await runtime.delete(Gift, "own")
    async with opened(server, "worker", names) as store:
        await messages_take_every_way(store)


async def a_participant_answers(server: Server, names: Names) -> None:
    """Have a participant take two commands, of which it can read one."""
    bank, charged = Service("bank"), trio.Event()

    @bank.endpoint("charge")
    async def charge(amount: int, ctx: CommandContext) -> int:
        charged.set()
        return amount

    own = {name: value for name, value in options("participant", names).items() if name != "shards"}
    async with open_participant(server.url, bank, keys=MemoryKeys(horizon=3_600), **own):
        with trio.fail_after(60):
            await charged.wait()
            while not subscribed(server, "participant") >= {"$SRV.INFO", "$SRV.STATS.bank"}:  # noqa: ASYNC110  # the server
                await trio.sleep(0.02)
    async with opened(server, "worker", names) as store:
        assert isinstance(store, JetStreamStore)
        with trio.fail_after(60):  # what was in hand was answered before the participant ended
            while not await store.inbox.reply_waits(SagaKey("Nobody", "x"), "bank"):  # noqa: ASYNC110  # the server
                await trio.sleep(0.02)


async def messages_take_every_way(store: Store) -> None:
    """Send messages every way, as intake and callers do when a saga has no owner, does not exist, or cannot exist."""
    await store.commands.check()
    reply_to = store.names.inbound_subject("reply", SagaKey("Nobody", "x"), service="bank")
    command = {
        "kind": "do",
        "key": "k",
        "action_key": "k",
        "run": "r",
        "attempt": 1,
        "reply_to": reply_to,
        "payload": 1,
    }
    command |= {"key_since": store.clock.now(), "deadline": 0}
    await store.commands.send("bank.charge", id="m", payload=msgspec.json.encode(command))
    await store.commands.send("bank.charge", id="n", payload=b"not a command")
    for channel in ("client", "operator", "system"):
        await store.inbox.send(channel, id="m", saga_type="Nobody", saga_id=channel, payload=b"{}")
    async with store.inbox.receive("Nobody", "new") as messages:
        first, second, third = [await anext(messages) for _ in range(3)]
        assert not await store.inbox.start_waits(first.address)
        assert not await store.inbox.any_start("Nobody")
        await store.inbox.park([Parking(first, start=True), Parking(second, start=False)])
        await store.inbox.bury([Burial(third, "nobody knows it", "UnknownSaga")], by="test")
    await store.inbox.send("client", id="m", saga_type="Unheard", saga_id="of", payload=b"{}")
    [stray] = [one async for one in store.inbox.strays()]
    await store.inbox.bury([Burial(stray, "no worker knows its type", "NotRegistered")], by="test")
    with trio.fail_after(60):
        while [one async for one in store.inbox.strays()]:  # noqa: ASYNC110  # the server says nothing of a removal
            await trio.sleep(0.02)
