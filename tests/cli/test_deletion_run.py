"""Deletions as a job: cut off and resumed, with the verdict on each saga."""

from __future__ import annotations

from pathlib import Path

import pytest
from sagakit.cli.deletions import deletion_in_job
from sagakit.client.deletion_run import DeletionRun
from sagakit.client.job_run import UNANSWERED
from sagakit.client.jobs import JobItem, JobPages
from sagakit.engine import Record
from sagakit.errors import UnknownSaga

from tests.bulk_killed import Post
from tests.cli.test_job_run import HOLDER, Desk, desk


async def ended(here: Desk, id: str) -> Record:
    handle = await here.runtime.get(Post, (await here.stuck(id)).saga_id)
    await handle.terminate("w", by="bob")
    return await here.runtime.ended(handle.key)


async def delete(here: Desk, pages: JobPages, *, timeout: float = 20.0) -> list[str]:
    """Run a job, and return each saga with its verdict."""
    found: list[str] = []

    async def one(item: JobItem, again: bool) -> tuple[str, str]:
        return await deletion_in_job(here.sagas, timeout, item, again)

    run = DeletionRun(
        here.wire, pages, await here.jobs.hold(pages.job.id, HOLDER, lambda _: None), delete=one, now=here.sagas.now,
        told=lambda settled: found.append(f"{settled.item.key.partition('.')[2]} {settled.verdict}"),
    )  # fmt: skip
    await run.run()
    return sorted(found)


async def test_each_ended_saga_is_deleted_and_an_unfinished_one_is_not(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        pages = await here.write(await ended(here, "a"), await here.stuck("b"), verb="delete")
        assert await delete(here, pages) == ["a deleted", "b not deleted"]
        kept = await here.jobs.read("j")
        assert (kept.job.verdicts, kept.job.ended is not None) == ({"deleted": 1, "not deleted": 1}, True)
        assert "Post.b is unfinished" in kept.items()[1].why
        with pytest.raises(UnknownSaga):
            await here.runtime.load(Post, "a")
        assert await delete(here, kept) == [], "nothing is left to do"


async def test_a_job_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """The first run was killed between the deletion and the mark: what is gone was deleted by it."""
    async with desk(tmp_path) as here:
        pages = await here.write(*[await ended(here, id) for id in "abc"], verb="delete")
        pages.begin(0)
        await pages.save()  # as the first run does
        await here.sagas.delete("Post.a", pages.items()[0].run)
        assert await delete(here, await here.jobs.read("j")) == ["a deleted", "b deleted", "c deleted"]


async def test_a_saga_that_was_gone_before_the_job_began_is_not_called_deleted(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        pages = await here.write(await ended(here, "a"), verb="delete")
        await here.runtime.delete(Post, "a")
        assert await delete(here, pages) == ["a not deleted"]


async def test_another_life_of_the_id_is_not_deleted(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        pages = await here.write(await ended(here, "a"), verb="delete")
        await here.runtime.delete(Post, "a")
        second = await ended(here, "a")
        assert await delete(here, pages) == ["a not deleted"]
        assert (await here.runtime.load(Post, "a")).run == second.run


async def test_a_saga_that_is_not_archived_in_time_is_left_to_the_next_run(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        pages = await here.write(await ended(here, "a"), verb="delete")
        assert await delete(here, pages, timeout=0.0) == [f"a {UNANSWERED}"]
        kept = await here.jobs.read("j")
        assert (kept.items()[0].verdict, kept.job.ended) == ("", None)
        assert await delete(here, kept) == ["a deleted"]
