"""A run of a job against sagas that have changed since the plan, and on asyncio without trio in the process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from sagakit import Runtime, open_runtime
from sagakit.cli.operating_only import operating
from sagakit.client import fleet_view
from sagakit.client.by_key import PlainAccess, open_plain
from sagakit.client.job_answers import reason_of
from sagakit.client.job_run import JobRun, JobVerdict
from sagakit.client.jobs import Holder, Job, JobItem, JobPages, Jobs, JobVerb
from sagakit.client.tail import Tail, last_sequence
from sagakit.definition.payloads import PLAIN_PAYLOADS
from sagakit.engine import Record
from sagakit.errors import JobHeld
from sagakit.system.config import Config
from trio.testing import assert_no_checkpoints

from tests.bulk_killed import ROOT, Parcel, Post, depot
from tests.servers import running_server

HOLDER = Holder(by="ann", host="here", pid=1, token="first")


class Desk:
    """A worker and an operator in one program."""

    def __init__(self, url: str, runtime: Runtime, sagas: PlainAccess, folder: Path) -> None:
        self.url = url
        assert sagas.wire is not None
        self.runtime = runtime
        self.sagas = sagas
        self.wire = sagas.wire
        self.verbs = operating(sagas, Config(), PLAIN_PAYLOADS)
        self.jobs = Jobs(sagas.wire, sagas.names)
        self.folder = folder

    async def stuck(self, id: str) -> Record:
        handle = await self.runtime.start(Post, id, Parcel(str(self.folder / "nobody")))
        return await self.runtime.ended(handle.key, or_stuck=True)

    async def write(self, *records: Record, id: str = "j", verb: JobVerb = "retry") -> JobPages:
        items = [JobItem(key=f"Post.{one.saga_id}", run=one.run, status=one.status) for one in records]
        return await self.jobs.write(Job(id=id, verb=verb, reason="w", by="ann", created=0.0, sagas=0, pages=0), items)

    async def run(self, pages: JobPages, *, timeout: float = 20.0) -> dict[str, str]:
        """Run a job as a resumed one, and return the verdicts."""
        found: dict[str, str] = {}

        def told(settled: JobVerdict) -> None:
            found[settled.item.key.partition(".")[2]] = settled.verdict

        hold = await self.jobs.hold(pages.job.id, HOLDER, lambda _: None)
        run = JobRun(
            self.wire, self.sagas.names, pages, hold, told=told, now=self.sagas.now, timeout=timeout,
            explain=lambda item, verdict, record: reason_of(pages.job, item, verdict, record),
        )  # fmt: skip
        await run.run()
        return found

    async def retries(self, id: str) -> int:
        events = (await self.runtime.history(Post, id)).events
        return sum(event.type.endswith("operator.retry") for event in events)


@asynccontextmanager
async def desk(folder: Path, *, shards: int = 1) -> AsyncIterator[Desk]:
    with running_server(folder / "server") as server:
        async with (
            open_runtime(server.url, sagas=[Post()], shards=shards) as runtime,
            open_plain(server.url, Config()) as sagas,
        ):
            yield Desk(server.url, runtime, sagas, folder)


async def test_a_first_run_waits_for_nothing_that_is_not_stored(tmp_path: Path) -> None:
    """Nothing was written since the plan was made: the tail says so when it is opened, not after a wait."""
    async with desk(tmp_path) as at:
        await at.stuck("one")
        stream = "KV_SAGA_STATE"
        last = await last_sequence(at.wire, stream)
        async with Tail(at.wire, stream, "$KV.SAGA_STATE.>", after=last) as tail:
            assert not tail.behind
        async with Tail(at.wire, stream, "$KV.SAGA_STATE.>", after=last - 1) as tail:
            assert tail.behind
            assert [one.sequence for one in await tail.take(60)] == [last]
            assert not tail.behind


async def test_another_life_of_the_id_is_not_touched(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        first = await here.stuck("a")
        pages = await here.write(first)
        await (await here.runtime.get(Post, "a")).terminate("w", by="bob")
        await here.runtime.delete(Post, "a")
        second = await here.stuck("a")
        assert second.run != first.run
        assert await here.run(pages) == {"a": "other run"}
        assert await here.retries("a") == 0


async def test_a_saga_that_has_ended_meanwhile_is_looked_up_in_the_archive(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        pages = await here.write(await here.stuck("a"), await here.stuck("b"))
        await (await here.runtime.get(Post, "a")).terminate("w", by="bob")
        assert await here.run(pages) == {"a": "ended", "b": "accepted"}


async def test_a_saga_of_another_status_than_planned_is_left_alone(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        pages = await here.write(await here.stuck("a"))
        pages.pages[0].sagas[0].status = "running"
        assert await here.run(pages) == {"a": "changed"}
        assert pages.pages[0].sagas[0].why.startswith("it was running when the plan was made, and is stuck now")
        assert await here.retries("a") == 0


async def test_a_saga_that_is_gone_has_that_as_its_verdict(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        pages = await here.write(await here.stuck("a"))
        await (await here.runtime.get(Post, "a")).terminate("w", by="bob")
        await here.runtime.delete(Post, "a")
        assert await here.run(pages) == {"a": "no such saga"}


async def test_a_verb_that_was_applied_before_a_kill_is_found_and_not_repeated(tmp_path: Path) -> None:
    """The first run was killed between the saga's answer and the mark."""
    async with desk(tmp_path) as here:
        record = await here.stuck("a")
        pages = await here.write(record)
        await here.verbs.send(record, "retry", reason="w", by="ann", id="job-j", timeout=60)
        assert await here.run(pages) == {"a": "accepted"}
        assert await here.retries("a") == 1


async def test_a_verb_that_is_meant_for_an_earlier_life_does_not_reach_the_next_one(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as here:
        seen = await here.stuck("a")
        await (await here.runtime.get(Post, "a")).terminate("w", by="bob")
        await here.runtime.delete(Post, "a")
        await here.stuck("a")
        answer = await here.verbs.send(seen, "terminate", reason="looked wrong", by="ann", timeout=60)
        assert (answer.verdict, answer.applied) == ("other run", False)
        assert answer.refusal.endswith("the saga that it was for has gone, and another one has its id")
        assert (await here.sagas.record("Post.a")).status == "stuck"


async def test_a_verb_for_one_saga_has_its_verdict_or_says_why_not(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        record = await here.stuck("a")
        assert await here.verbs.send(record, "terminate", reason="w", by="ann", timeout=60) == ("accepted", "")
        again = await here.verbs.send(record, "retry", reason="w", by="ann", timeout=60)
        assert again.verdict == "ended"
        assert again.refusal.startswith("Post.a: it cannot be retried")
        await here.runtime.delete(Post, "a")
        gone = await here.verbs.send(record, "retry", reason="w", by="ann", timeout=60)
        assert gone.verdict == "no such saga"
        assert "no saga is stored under Post.a" in gone.refusal


async def test_a_verb_for_one_saga_without_an_answer_may_be_applied_later(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        record = await here.stuck("a")
        answer = await here.verbs.send(record, "terminate", reason="w", by="ann", timeout=0)
        assert answer == ("unanswered", "no worker has answered in 0 s; it may still be applied later")


async def test_a_saga_that_may_have_been_sent_the_verb_is_asked_whatever_its_status(tmp_path: Path) -> None:
    """The first run was killed between the sending and the answer: only the owner knows what has become of it."""
    async with desk(tmp_path) as here:
        pages = await here.write(await here.stuck("a"))
        pages.pages[0].sagas[0].status = "running"
        pages.begin(0)
        await pages.save()
        assert await here.run(await here.jobs.read("j")) == {"a": "accepted"}


async def test_a_saga_without_a_worker_stays_open_and_is_answered_by_the_next_run(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        pages = await here.write(await here.stuck("a"))
        await here.runtime.drain()
        assert await here.run(pages, timeout=0.5) == {"a": "unanswered"}
        job = (await here.jobs.read("j")).job
        assert (job.done, job.ended) == (0, None)
        async with open_runtime(here.url, sagas=[Post()]):
            assert await here.run(await here.jobs.read("j")) == {"a": "accepted"}


async def test_a_run_that_was_silent_for_too_long_loses_its_job(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        pages = await here.write(await here.stuck("a"))
        first = await here.jobs.hold("j", HOLDER, lambda _: None)
        second = Holder(by="bob", host="there", pid=2, token="second")
        heard: list[Holder] = []
        with trio.fail_after(60):
            hold = await here.jobs.hold("j", second, heard.append)
        assert heard == [HOLDER]
        with pytest.raises(JobHeld, match=r"taken over by bob on there \(process 2\)"):
            await first.renew()
        other = await here.jobs.read("j")
        other.mark(other.items()[0], "accepted", "")
        await other.save()
        pages.mark(pages.items()[0], "ended", "")
        with pytest.raises(JobHeld, match="was taken over by another process"):
            await pages.save()
        await hold.release()
        with trio.fail_after(60):
            await here.jobs.hold("j", HOLDER, heard.append)


async def test_the_plan_of_a_job_takes_no_turn_of_the_scheduler_for_each_saga(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_view, "LOOK_AGAIN", 3600.0)
    async with desk(tmp_path) as here:
        first, second = await here.stuck("a"), await here.stuck("b")
        assert (await here.verbs.try_out(first, "retry")).verdict == "accepted"
        with assert_no_checkpoints():
            assert (await here.verbs.try_out(second, "retry")).verdict == "accepted"


async def test_the_number_of_shards_is_the_one_that_the_buckets_were_made_with(tmp_path: Path) -> None:
    """An operator need not say it: each of the sagas is found and mended, in whichever shard it is."""
    async with desk(tmp_path, shards=3) as here:
        pages = await here.write(*[await here.stuck(id) for id in "abcdef"])
        assert {here.sagas.names.shard_of(item.key) for item in pages.items()} == {0, 1, 2}
        assert await here.run(pages) == dict.fromkeys("abcdef", "accepted")


async def test_a_long_list_is_kept_in_several_pages(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        items = [JobItem(key=f"Post.{'x' * 200}-{n}", run="r" * 32, status="stuck") for n in range(3000)]
        job = Job(id="long", verb="retry", created=0.0, sagas=0, pages=0)
        await here.jobs.write(job, items)
        pages = await here.jobs.read("long")
        assert pages.job.pages > 1
        assert [item.key for item in pages.items()] == [item.key for item in items]
        for item in pages.items():
            pages.mark(item, "refused: " + "é" * 600, "é" * 600)
        await pages.save()
        assert [job.id for job, _ in await here.jobs.list()] == ["long"]


PROGRAM = """
import asyncio, sys
from sagakit.client.job_run import JobRun
from sagakit.client.jobs import Holder, Job, JobItem, Jobs
from sagakit.client.tail import Tail
from sagakit.engine import decode
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.jetstream.connection import Connection
from sagakit.store.names import Names

async def main():
    verdicts = []
    async with open_asyncio_wire(Connection(servers=(sys.argv[1],))) as wire:
        records = []
        async with Tail(wire, "KV_SAGA_STATE", "$KV.SAGA_STATE.>") as tail:
            while tail.behind:
                records += [decode(one.subject.split(".", 2)[2], one.payload).record for one in await tail.take(1)]
        items = [JobItem(key=f"Post.{one.saga_id}", run=one.run, status=one.status) for one in records]
        jobs = Jobs(wire, Names())
        pages = await jobs.write(Job(id="a", verb="retry", reason="w", by="a", created=0.0, sagas=0, pages=0), items)
        hold = await jobs.hold("a", Holder(by="a", host="h", pid=1, token="t"), print)
        run = JobRun(
            wire, Names(), pages, hold, told=lambda one: verdicts.append(one.verdict), now=lambda: 1.0, timeout=30,
            explain=lambda *_: "",
        )
        assert await run.run()
    print(len(verdicts), set(verdicts), [name for name in ("trio", "trio_asyncio") if name in sys.modules])

asyncio.run(main())
"""


def test_a_job_runs_on_asyncio_without_trio_in_the_process(tmp_path: Path) -> None:
    with depot(tmp_path, 50) as found:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, found.url], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.stdout == "50 {'accepted'} []\n", done


COMMANDS = """
import sys
from sagakit.cli import main

for words in ("terminate Post.p-0 --reason w", "retry Post.* --reason w", "signal Post.p-1 told"):
    sys.argv[1:-1] = [*words.split(), "--yes", "-o", "none", "--nats"]
    try:
        main()
    except SystemExit as end:
        print(words, end.code, [name for name in ("trio", "trio_asyncio") if name in sys.modules])
"""


def test_the_verbs_of_the_command_line_load_no_trio(tmp_path: Path) -> None:
    """For one saga and for many."""
    with depot(tmp_path, 20) as found:
        found.open_carrier()
        done = subprocess.run(
            [sys.executable, "-c", COMMANDS, found.url], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.stdout.splitlines() == [
            "terminate Post.p-0 --reason w 0 []", "retry Post.* --reason w 0 []", "signal Post.p-1 told 1 []"
        ], done  # fmt: skip
