"""The words about a saga of a job: why a verb has no effect on it."""

from __future__ import annotations

from sagakit.client.job_run import UNANSWERED, UNREADABLE_RECORD
from sagakit.client.jobs import Job, JobItem
from sagakit.client.refusals import is_taken, refusal
from sagakit.engine import Record


def reason_of(job: Job, item: JobItem, verdict: str, record: Record | None) -> str:
    """Return why the verb has no effect on a saga; empty if it has one. `record` is the saga's, if it is known."""
    assert job.verb != "delete", "a deletion says itself why it has failed"
    if is_taken(job.verb, verdict):
        return ""
    if verdict == UNANSWERED:
        return "no worker has answered in time; it may still be applied later, and a resumed job looks again"
    if verdict == "changed":
        now = "something else" if record is None else record.status
        return f"it was {item.status} when the plan was made, and is {now} now: choose it again if you still mean it"
    if verdict == "no such saga":
        return f"nothing is stored under {item.key} any more"
    if verdict == UNREADABLE_RECORD:
        return "its record cannot be read here"
    return str(refusal(item.key, job.verb, job.step, verdict, record))
