"""Deletions of single sagas, each with its verdict: alone, and as a part of a job."""

from __future__ import annotations

import trio

from sagakit.client.by_key import PlainAccess
from sagakit.client.job_run import UNANSWERED
from sagakit.client.jobs import JobItem
from sagakit.client.trials import Answer
from sagakit.engine import ENDS, Record
from sagakit.errors import NotAllowed, NoWorker, StoreError, UnknownSaga

DELETED = "deleted"
KEPT = "not deleted"
"""The verdict on a saga that stays as it is."""


async def deletion(sagas: PlainAccess, key: str, run: str, timeout: float) -> Answer:
    """Delete what is kept of one life of an id. Raises UnknownSaga if nothing is kept, StoreError.

    UNANSWERED means that the saga was not archived within `timeout` seconds.
    """
    try:
        with trio.fail_after(timeout):
            await sagas.delete(key, run)
    except (NotAllowed, NoWorker) as error:
        return Answer(KEPT, str(error))
    except trio.TooSlowError:
        return Answer(UNANSWERED, f"it was not archived in {timeout:g} s")
    return Answer(DELETED)


async def deletion_in_job(sagas: PlainAccess, timeout: float, item: JobItem, again: bool) -> Answer:
    """Delete a saga as a part of a job. `again`: an earlier run of the job may have deleted it, and not noted that."""
    try:
        return await deletion(sagas, item.key, item.run, timeout)
    except UnknownSaga as error:
        return Answer(DELETED) if again else Answer(KEPT, str(error))
    except StoreError as error:
        return Answer(UNANSWERED, f"{error}; a resumed job tries again")


async def would_be_deleted(record: Record) -> Answer:
    """Return the answer to expect."""
    if record.status in ENDS:
        return Answer(DELETED)
    return Answer(KEPT, "it is unfinished: cancel or terminate it, wait for its end, then delete it")
