"""A run of a job that deletes ended sagas: each saga without a verdict is deleted, and its verdict is written down.

A saga that a run has deleted before it was killed is gone when the next run comes. A list's page says if an earlier run
has begun with it, so the next run takes that for a deletion.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from sagakit.client.job_keeping import JobKeeping
from sagakit.client.job_run import UNANSWERED, JobVerdict
from sagakit.client.jobs import Hold, JobItem, JobPages
from sagakit.store.ports.wire_port import Wire

TOGETHER = 64
"""Sagas that are deleted at the same time."""
Delete: TypeAlias = Callable[[JobItem, bool], Awaitable[tuple[str, str]]]
"""A function that deletes a saga, and returns its verdict and why it has none. It is told if an earlier run may have
deleted the saga. UNANSWERED leaves the saga to the next run."""


class DeletionRun:
    """A run of the job `pages`, which `hold` gives the right to. For one task; `stop` may be called by any.

    `told` is called with each saga once its verdict is known. `rate` is in sagas a second, None for as fast as
    possible. `now` returns the time of the server's clock.
    """

    def __init__(
        self,
        wire: Wire,
        pages: JobPages,
        hold: Hold,
        *,
        delete: Delete,
        told: Callable[[JobVerdict], None],
        now: Callable[[], float],
        rate: float | None = None,
    ) -> None:
        self._wire = wire
        self._pages = pages
        self._delete = delete
        self._told = told
        self._rate = rate
        self._keeping = JobKeeping(wire, pages, hold, now)

    def stop(self) -> None:
        """Begin with no other saga, and let `run` return. The job can be resumed."""
        self._keeping.over.set()

    async def run(self) -> bool:
        """Go on with the job until it is over or stopped. Return True if every saga has its verdict.

        Raises JobHeld if another process has taken the job over, StoreError.
        """
        return await self._keeping.run(
            lambda: self._wire.together(self._delete_all, *self._keeping.tasks),
        )

    async def _delete_all(self) -> None:
        for number, page in enumerate(self._pages.pages):
            left = [item for item in page.sagas if not item.verdict]
            if left and not self._keeping.over.is_set():
                had_begun = page.begun
                self._pages.begin(number)
                await self._keeping.save()
                await self._delete_some(left, had_begun=had_begun)
        self._keeping.over.set()

    async def _delete_some(self, left: list[JobItem], *, had_begun: bool) -> None:
        size = TOGETHER if self._rate is None else 1
        for start in range(0, len(left), size):
            if self._keeping.over.is_set():
                break
            now = left[start : start + size]
            await self._wire.together(*(partial(self._settle, item, had_begun) for item in now))
            if self._rate is not None:
                await self._wire.within(1 / self._rate, self._keeping.over)

    async def _settle(self, item: JobItem, had_begun: bool) -> None:
        verdict, why = await self._delete(item, had_begun)
        if verdict != UNANSWERED:
            self._pages.mark(item, verdict, why)
        self._told(JobVerdict(item, verdict, why))
