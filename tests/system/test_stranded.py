"""A caller that waits for a saga which no live worker can run is told so, and what to do. The saga stays as it is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sagakit
import sagakit.asyncio
import trio
import trio.testing
from sagakit import Completed, Context, Handle, NoWorker, OldSaga, Runtime, Saga, child, signal, step
from sagakit.messages.channels import ALLOWED
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of, settled
from tests.servers import Server
from tests.system.members import Member, killable, member, stands, within
from tests.test_asyncio import program

Clock = trio.testing.MockClock


class OldJob(Saga[str], name="Job", version=1):
    go = signal(str)


class NewJob(Saga[str], name="Job", version=2):
    ready = signal(str)


class Mover(Saga[str], name="Job", version=3):
    ready = signal(str)

    def migrate(self, old: OldSaga) -> None:
        old.drop("go")


class Refuser(Saga[str], name="Job", version=2):
    ready = signal(str)

    def migrate(self, old: OldSaga) -> None:
        raise ValueError("no way")


class Other(Saga[str]):
    go = signal(str)


MIGRATE = (
    r"Job\.a was started under version 1, and no worker can run it: the workers have version 2\. It stays as it is: "
    r"write migrate\(\) in version 2, so that it takes the sagas of version 1 over, or run a worker of version 1, too, "
    r"until they have ended"
)
Start = Callable[..., Awaitable[Member]]


async def left_behind(start: Start, server: MemoryServer, saga: Saga[Any, Any]) -> None:
    """Start `a` on a worker, where it waits for its signal, and kill the worker."""
    victim = await start(server, saga)
    await victim.runtime.start(type(saga), "a", "books")
    victim.kill()


CALLS: dict[str, Callable[[Runtime, Handle[Any]], Awaitable[Any]]] = {
    "outcome": lambda runtime, handle: handle.outcome(),
    "settled": lambda runtime, handle: settled(handle),
    "execute": lambda runtime, handle: runtime.execute(NewJob, "a", "books"),
    "cancel": lambda runtime, handle: handle.cancel("no more"),
    "compensate by class": lambda runtime, handle: runtime.compensate(NewJob, "a"),
    "retry": lambda runtime, handle: handle.retry("again"),
    "compensate": lambda runtime, handle: handle.compensate("no more"),
    "terminate": lambda runtime, handle: handle.terminate("no more"),
    "mark_undone": lambda runtime, handle: handle.mark_undone("go", "by hand"),
    "complete_step": lambda runtime, handle: handle.complete_step("go", "x", "by hand"),
    "report": lambda runtime, handle: handle.report("go", "x"),
    "signal": lambda runtime, handle: runtime.signal(NewJob, "a", NewJob.ready, "x"),
}


def test_each_verb_is_tried_on_a_saga_that_no_worker_can_run() -> None:
    assert {name.replace("_", "-") for name in CALLS} >= ALLOWED["operator"] | {"cancel", "signal"}


@pytest.mark.parametrize("adopt", [True, False])
@pytest.mark.parametrize("call", CALLS)
async def test_a_caller_that_waits_for_a_saga_of_an_old_version_is_told_to_write_migrate(
    autojump_clock: Clock, call: str, adopt: bool
) -> None:
    if call == "execute" and not adopt:
        return  # a looker starts nothing
    server = MemoryServer()
    async with killable() as start:
        await left_behind(start, server, OldJob())
        heir = await start(server, NewJob())
        asks = heir if adopt else await start(server, NewJob(), adopt=False)
        handle = await asks.runtime.get(NewJob, "a")
        before = stands(server, "SAGA_STATE", "Job.a")
        with within(5, "the caller is told"), pytest.raises(NoWorker, match=f"^{MIGRATE}$") as told:
            await CALLS[call](asks.runtime, handle)
        assert (told.value.key, told.value.version, told.value.versions) == ("Job.a", 1, (2,))
        assert stands(server, "SAGA_STATE", "Job.a") == before
        assert not server.inbox, "the refused message is not left in the inbox"


async def test_an_earlier_request_is_applied_once_a_worker_can_run_the_saga(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        await left_behind(start, server, OldJob())
        shell = await start(server, NewJob(), adopt=False)
        handle = await shell.runtime.get(NewJob, "a")

        async def terminate() -> None:
            with (
                trio.fail_after(600),
                pytest.raises(NoWorker, match="what was asked of it waits in the inbox, and is applied then"),
            ):
                await handle.terminate("enough")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(terminate)
            await trio.sleep(30)  # no worker lives at all
            await start(server, NewJob())
        await start(server, OldJob())
        with trio.fail_after(60):
            assert (await settled(handle)).status == "failed"


async def test_a_caller_waits_while_a_worker_of_the_old_version_lives(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, OldJob()) as old, member(server, NewJob()) as new:
        await old.runtime.start(OldJob, "a", "books")
        handle = await new.runtime.get(NewJob, "a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handle.outcome)
            await trio.sleep(300)
            await new.runtime.signal(NewJob, "a", OldJob.go, "on")


async def test_a_version_of_another_worker_that_migrates_takes_the_saga_over(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        await left_behind(start, server, OldJob())
        new = await start(server, NewJob())
        await start(server, Mover())
        handle = await new.runtime.get(NewJob, "a")
        with trio.fail_after(100):
            await handle.cancel("no more")
            assert (await settled(handle)).definition_version == 3


async def refused(start: Start, server: MemoryServer, saga: Saga[Any, Any], text: str) -> None:
    """Wait for `a` on a worker that has only this saga: NoWorker has to say soon what is wrong."""
    heir = await start(server, saga)
    handle = await heir.runtime.get(type(saga), "a")
    with within(5, "the caller is told"), pytest.raises(NoWorker, match=text):
        await settled(handle)


async def test_a_migrate_that_refuses_the_saga_is_named(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        await left_behind(start, server, OldJob())
        text = r"migrate\(\) of version 2 cannot take it over: migrate: ValueError\('no way'\) at \S+:\d+ in migrate\. "
        await refused(start, server, Refuser(), text)


async def test_older_code_does_not_take_over_a_saga_of_newer_code(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        await left_behind(start, server, NewJob())
        text = (
            "started under version 2, .* the workers have version 1.* run a worker of version 2, too, until its sagas"
        )
        await refused(start, server, OldJob(), text)


async def test_another_plan_of_the_same_version_is_named(autojump_clock: Clock) -> None:
    class Changed(Saga[str], name="Job", version=1):
        ready = signal(str)

    server = MemoryServer()
    async with killable() as start:
        await left_behind(start, server, OldJob())
        meta = server.bucket("SAGA_META")
        for entry in meta.entries("plan"):  # for example, restored from an older backup
            meta.purge(entry.key)
        text = "it was started under another plan than version 1 has now: take that change back"
        await refused(start, server, Changed(), text)


async def test_a_type_that_no_worker_has_is_reported_after_half_a_minute(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        await left_behind(start, server, OldJob())
        other = await start(server, Other())
        text = (
            r"Job\.a was started under version 1, and no worker can run it: none has its type.* start a worker with a "
            r'class of the type Job; if the class was renamed, give it name="Job"'
        )
        with trio.move_on_after(25) as deployment:
            await other.runtime.ended("Job.a")
        assert deployment.cancelled_caught, "callers wait for a service that is being deployed"
        with within(10, "the caller is told"), pytest.raises(NoWorker, match=text):
            await other.runtime.ended("Job.a")
        infos = (await other.runtime.list()).items
        assert [verdict for _, verdict in await other.runtime.bulk("terminate", infos, reason="x")] == ["no worker"]


async def test_a_looker_waits_while_no_worker_lives_at_all(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        await left_behind(start, server, OldJob())
        shell = await start(server, NewJob(), adopt=False)
        with trio.move_on_after(600) as waited:
            await settled(await shell.runtime.get(NewJob, "a"))
        assert waited.cancelled_caught


async def test_an_outage_does_not_prove_that_no_worker_lives(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, OldJob()) as old, member(server, NewJob()) as new:
        await old.runtime.start(OldJob, "a", "books")
        handle = await new.runtime.get(NewJob, "a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handle.outcome)
            await trio.sleep(10)
            server.faults.begin_outage()
            await trio.sleep(100)
            server.faults.end_outage()
            await trio.sleep(100)
            await old.runtime.signal(OldJob, "a", OldJob.go, "on")


async def test_a_bulk_reports_the_verdict_and_continues(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        await left_behind(start, server, OldJob())
        heir = await start(server, NewJob())
        await heir.runtime.start(NewJob, "b", "pens")
        infos = (await heir.runtime.list()).items
        for dry_run in (True, False):
            done = await heir.runtime.bulk("terminate", infos, reason="enough", dry_run=dry_run)
            assert {info.id: verdict for info, verdict in done} == {"a": "no worker", "b": "accepted"}


async def test_a_bulk_asks_once_for_all_sagas_of_a_version(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        victim = await start(server, OldJob())
        for number in range(200):
            await victim.runtime.start(OldJob, str(number), "x")
        victim.kill()
        heir = await start(server, NewJob())
        infos = (await heir.runtime.list()).items
        with within(5, "200 sagas of one version cost one look at the fleet"):
            done = await heir.runtime.bulk("cancel", infos, reason="enough", dry_run=False)
        assert {verdict for _, verdict in done} == {"no worker"}


async def test_a_description_says_why_the_saga_does_not_move(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        await left_behind(start, server, OldJob())
        heir = await start(server, NewJob())
        found = await heir.runtime.describe(NewJob, "a")
    assert "no worker can run it: the workers have version 2" in found.note
    assert f"note: {found.note}" in str(found)


async def test_a_delete_of_an_ended_saga_that_is_not_archived_is_refused_with_the_reason(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        victim = await start(server, OldJob())
        handle = await victim.runtime.start(OldJob, "a", "books")
        await victim.runtime.signal(OldJob, "a", OldJob.go, "on")
        assert isinstance(await handle.outcome(), Completed)
        victim.kill()
        heir = await start(server, Mover())
        seen = await heir.runtime.get(Mover, "a")
        assert (await settled(seen)).status == "completed"
        text = "run a worker of version 1, too, until its sagas have ended: no other version takes them over"
        with within(5, "the caller is told"), pytest.raises(NoWorker, match=text):
            await heir.runtime.delete(Mover, "a")


# --------------------------------------------------------------------------------- families


class Whole(Saga[str]):
    @step(compensate=None)
    async def first(self, input: str, ctx: Context) -> None: ...

    part = child(OldJob, lambda input, ctx: input, after=[first])


async def test_a_parent_waits_and_its_description_says_what_the_child_needs(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        parents = await start(server, Whole())
        children = await start(server, OldJob())
        handle = await parents.runtime.start(Whole, "one", "x")
        with trio.fail_after(60):
            while not children.worker.sagas.keys():  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        children.kill()
        await start(server, NewJob())
        await trio.sleep(60)
        assert (await record_of(handle)).status == "running"
        assert "no worker can run it: the workers have version 2" in str(await handle.describe())
        await handle.cancel("no more")
        await trio.sleep(100)  # a child's undo is tried forever
        error = (await record_of(handle)).steps["part"].error or ""
        assert "timeout after 30 s: Job.one=2F" in error
        assert "no worker can run it: the workers have version 2" in error


# ------------------------------------------------------------------------------ a real server


async def test_a_caller_is_told_on_a_real_server(server: Server, namespace: str) -> None:
    async with sagakit.open_runtime(server.url, sagas=[OldJob()], namespace=namespace) as old:
        await old.start(OldJob, "a", "books")
    async with sagakit.open_runtime(server.url, sagas=[NewJob()], namespace=namespace) as new:
        handle = await new.get(NewJob, "a")
        with trio.fail_after(60), pytest.raises(NoWorker, match=MIGRATE):
            await settled(handle)
        with trio.fail_after(60), pytest.raises(NoWorker, match=MIGRATE):
            await handle.retry("again")


def test_a_script_is_told_what_to_do(server: Server, namespace: str) -> None:
    async def old() -> None:
        async with sagakit.open_runtime(server.url, sagas=[OldJob()], namespace=namespace) as runtime:
            await runtime.start(OldJob, "a", "books")

    trio.run(old)
    script = (
        "import sagakit, sys; from tests.system.test_stranded import NewJob; "
        "sagakit.run(NewJob(), 'a', 'books', url=sys.argv[1], namespace=sys.argv[2])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, server.url, namespace],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert re.search(f"sagakit.errors.NoWorker: {MIGRATE}", ran.stderr)


def test_an_asyncio_program_is_told_what_to_do(server: Server, namespace: str) -> None:
    async def main() -> None:
        async with sagakit.asyncio.open_runtime(server.url, sagas=[OldJob()], namespace=namespace) as old:
            await old.start(OldJob, "a", "books")
        async with sagakit.asyncio.open_runtime(server.url, sagas=[NewJob()], namespace=namespace) as new:
            handle = await new.get(NewJob, "a")
            for asked in (handle.wait, handle.outcome, handle.cancel):
                with pytest.raises(NoWorker, match=MIGRATE):
                    await asked()

    program(main)
