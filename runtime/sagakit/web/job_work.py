"""Jobs as requests run them: the answers to expect, a job that is begun, and the part of it that one request runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from sagakit.client.bare_errors import bare_errors
from sagakit.client.job_answers import reason_of
from sagakit.client.job_plan import item_of
from sagakit.client.job_run import JobRun
from sagakit.client.job_start import begin_job, holder_of
from sagakit.client.jobs import Hold, Job, JobPages, Jobs
from sagakit.client.trials import Answer, Trials
from sagakit.engine import InboundKind, Record
from sagakit.errors import NotAllowed
from sagakit.messages.limits import limits_for
from sagakit.web.page_acts import VERBS
from sagakit.web.visitors import Rank, Visitor, check_may

if TYPE_CHECKING:
    from sagakit.client.client import Client

AT_ONCE = 20.0
"""Seconds that a request runs a job, unless it says otherwise. What is left then is resumed."""


async def expected_of(client: Client, records: Sequence[Record], verb: InboundKind) -> Sequence[Answer]:
    """Return the answers that sagas, as their records are, would give to a verb. Changes nothing."""
    now, limits = await client.now(), limits_for(client.wire.max_payload, max_isolated_crashes=1)
    trials = Trials(client.fleet.check_runs, client.plan_of, limits)
    found: list[Answer] = []
    for record in records:
        await anyio.lowlevel.checkpoint()  # there may be many: other requests go on meanwhile
        found.append(await trials.of(record, verb, now))
    return found


async def run_new_job(
    client: Client,
    verb: InboundKind,
    records: Sequence[Record],
    since: Mapping[str, int],
    *,
    reason: str,
    by: str,
    message_id: str = "",
    seconds: float = AT_ONCE,
) -> Job:
    """Write down a verb for many sagas as a job, run it for some seconds, and return its head.

    `since` is what `positions` returned before the records were read. Raises JobsMissing, StoreError.
    """
    items = list(map(item_of, records, await expected_of(client, records, verb)))
    job = Job(id="", verb=verb, reason=reason, by=by, message_id=message_id, created=0.0, sagas=0, pages=0)
    pages, hold = await begin_job(Jobs(client.wire, client.names), job, items, now=await client.now())
    # an id of the caller may have been sent before: then the records tell what became of it
    return await work_on(client, pages, hold, None if message_id else since, seconds=seconds)


async def go_on(client: Client, id: str, visitor: Visitor, *, by: str, read_only: bool, seconds: float) -> Job:
    """Run a job that is not done for some seconds, and return its head.

    Its sagas keep who gave the verb, and why. Raises Problem for a visitor that may not give the verb, NotAllowed,
    UnknownJob, JobHeld if another process runs it, StoreError.
    """
    jobs = Jobs(client.wire, client.names)
    job = (await jobs.read(id)).job
    check_may(visitor, rank_of(job), read_only=read_only)
    if job.ended is not None:
        return job
    hold = await jobs.hold(id, holder_of(by), lambda _: None)
    pages = await jobs.read(id)  # only now: whoever ran it a moment ago may have written more verdicts
    return await work_on(client, pages, hold, None, seconds=seconds)


def rank_of(job: Job) -> Rank:
    """Return the role that it takes to go on with a job. Raises NotAllowed for one that no console runs."""
    if job.verb == "delete":
        raise NotAllowed(f"job {job.id} deletes sagas: go on with it by `sagakit delete --resume {job.id}`")
    return VERBS[job.verb][0] if job.verb in VERBS else "operator"


async def work_on(
    client: Client, pages: JobPages, hold: Hold, since: Mapping[str, int] | None, *, seconds: float = AT_ONCE
) -> Job:
    """Run a job for some seconds, and return its head. `since` is None for a job that was begun before.

    Raises JobHeld if another process has taken it over, StoreError.
    """
    ahead = await client.now() - client.wire.now()
    run = JobRun(
        client.wire,
        client.names,
        pages,
        hold,
        told=lambda _: None,
        now=lambda: client.wire.now() + ahead,
        explain=partial(reason_of, pages.job),
        timeout=seconds,
    )
    with bare_errors():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_stop_after, run, seconds)
            await run.run(since)
            tasks.cancel_scope.cancel()
    return pages.job


async def _stop_after(run: JobRun, seconds: float) -> None:
    await anyio.sleep(seconds)
    run.stop()
