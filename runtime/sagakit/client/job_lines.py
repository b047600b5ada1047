"""Jobs and their verdicts as the JSON of `json_shapes`, for the commands and the HTTP API."""

from __future__ import annotations

from sagakit.client.jobs import Holder, Job, JobItem
from sagakit.client.json_shapes import JobLine, VerdictLine
from sagakit.client.refusals import is_taken
from sagakit.times import moment_of


def job_line(job: Job, holder: Holder | None) -> JobLine:
    """Return the line of a job, which `holder` runs now if it is not None."""
    state = "done" if job.ended is not None else "running" if holder is not None else "unfinished"
    return JobLine(
        job=job.id,
        verb=job.verb,
        step=job.step,
        state=state,
        sagas=job.sagas,
        done=job.done,
        verdicts=job.verdicts,
        by=job.by,
        reason=job.reason,
        created_at=moment_of(job.created),
        ended_at=moment_of(job.ended),
        run_by=None if holder is None else str(holder),
    )


def verdict_line(job: Job, item: JobItem, verdict: str, why: str) -> VerdictLine:
    """Return the line of the verdict on a saga of a job."""
    applied = is_taken(job.verb, verdict)
    return VerdictLine(key=item.key, verb=job.verb, verdict=verdict, applied=applied, why=why or None, dry_run=False)
