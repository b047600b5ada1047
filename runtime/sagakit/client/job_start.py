"""The beginning of a job: it is held by this process and written down, before any saga is sent anything."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping

from sagakit.client.jobs import Hold, Holder, Job, JobItem, JobPages, Jobs, new_job_id
from sagakit.client.tail import last_sequence
from sagakit.messages.ids import new_id
from sagakit.store.names import Names
from sagakit.store.ports import Wire


async def positions(wire: Wire, names: Names) -> Mapping[str, int]:
    """Return the last sequence of each state bucket. A plan that is made now misses nothing that comes before it."""
    return {bucket: await last_sequence(wire, f"KV_{bucket}") for bucket in names.state}


async def begin_job(jobs: Jobs, job: Job, items: Iterable[JobItem], *, now: float) -> tuple[JobPages, Hold]:
    """Write a job down, held by this process, under a new id. `now` is the server's time. Raises StoreError."""
    job.id, job.created = new_job_id(now, new_id()), now
    hold = await jobs.hold(job.id, holder_of(job.by), lambda _: None)
    return await jobs.write(job, items), hold


def holder_of(by: str) -> Holder:
    """Return this process as the holder of a job, for the person who runs it."""
    return Holder(by=by or "somebody", host=socket.gethostname(), pid=os.getpid(), token=new_id())
