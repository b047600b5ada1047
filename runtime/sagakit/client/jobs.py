"""Jobs: verbs for many sagas, each written down as a whole before the first saga is sent anything.

A job is kept in the bucket `SAGA_JOBS`. Its head, `{job}`, has the verb and its arguments; its pages, `{job}.{number}`,
have the sagas with what has become of each; `{job}.run` says who runs it now. The head is written last: without it
there is no job. See docs/wire.md.

Everything here awaits a `Wire` only, so it runs on asyncio and on trio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

from sagakit.client.tail import Tail, last_sequence
from sagakit.client.wire_bucket import WireBucket
from sagakit.engine import InboundKind
from sagakit.engine.record import NOTHING
from sagakit.errors import (
    UNREADABLE,
    Conflict,
    JobHeld,
    JobsMissing,
    StreamMissing,
    UnknownJob,
)
from sagakit.store.names import Names
from sagakit.store.ports.wire_port import Wire

PAGE_SHARE = 0.5
"""Share of `max_payload` that a page has when it is written: the rest is for the verdicts."""
MAX_TEXT = 120
"""Characters that a page keeps of a verdict, and of the reason of a refusal."""
ROOM = 400
"""Bytes that are set aside in a page for the verdict on one saga."""
HELD_FOR = 5.0
"""Seconds without a sign of life after which a job is free to be run by somebody else."""
LOOK = 0.2
"""Seconds between two looks at a job that somebody else runs."""
_RUN = "run"
_TTL = "Nats-TTL"
_OPERATION = "KV-Operation"


JobVerb: TypeAlias = InboundKind | Literal["delete"]
"""The verb of a job: a message that each saga gets, or the deletion of what is kept of it."""


class JobItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A saga of a job: its life (`run`) and its status when the plan was made. An empty verdict is not known yet."""

    key: str
    run: str
    status: str
    verdict: str = ""
    why: str = ""


class JobPage(msgspec.Struct, kw_only=True):
    """A part of a job's list that fits into one message. Before it has `begun`, none of its sagas was sent anything."""

    sagas: list[JobItem]
    begun: bool = False


class Job(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The head of a job. `created` and `ended` are seconds since the epoch, by the server's clock.

    `verdicts` counts the sagas by verdict; it may be a second old while the job runs.
    """

    id: str
    verb: JobVerb
    step: str = ""
    payload: msgspec.Raw = NOTHING
    reason: str = ""
    by: str = ""
    message_id: str = ""
    created: float
    sagas: int
    pages: int
    verdicts: dict[str, int] = {}
    ended: float | None = None

    @property
    def done(self) -> int:
        """Number of sagas whose verdict is known."""
        return sum(self.verdicts.values())


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The process that runs a job. `token` is different for each run, `sign` grows."""

    by: str
    host: str
    pid: int
    token: str
    sign: int = 0

    def __str__(self) -> str:
        """Return who and where."""
        return f"{self.by} on {self.host} (process {self.pid})"


_encoder = msgspec.json.Encoder()


def new_job_id(now: float, unique: str) -> str:
    """Return an id that says when the job was written; `unique` is random."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{unique[:8]}"


class Jobs:
    """The jobs of a namespace."""

    def __init__(self, wire: Wire, names: Names) -> None:
        self._wire = wire
        self._bucket = names.jobs
        self.bucket: WireBucket = WireBucket(wire, names.jobs)

    async def check(self) -> None:
        """Raise JobsMissing if there is no place for jobs."""
        try:
            await last_sequence(self._wire, f"KV_{self._bucket}")
        except StreamMissing:
            raise JobsMissing(self._bucket) from None

    async def write(self, job: Job, items: Iterable[JobItem]) -> JobPages:
        """Write a job, its list first. Nothing was sent to any saga yet. Raises StoreError.

        The numbers of sagas and pages are set here.
        """
        pages = list(_pages(items, self._wire.max_payload))
        job.sagas, job.pages = sum(len(page.sagas) for page in pages), len(pages)
        revisions = [
            await self.bucket.put(f"{job.id}.{number}", _encoder.encode(page), 0) for number, page in enumerate(pages)
        ]
        head = await self.bucket.put(job.id, _encoder.encode(job), 0)
        return JobPages(self, job, head, pages, revisions)

    async def read(self, id: str) -> JobPages:
        """Return a job with its list. Raises UnknownJob, JobsMissing, StoreError."""
        job, revision = await self._head(id)
        pages, revisions = [], []
        for number in range(job.pages):
            found = await self.bucket.last(f"{id}.{number}")
            if found is None:
                raise UnknownJob(f"job {id}: its list is not complete any more: jobs are kept for 30 days")
            pages.append(msgspec.json.decode(found.value, type=JobPage))
            revisions.append(found.revision)
        return JobPages(self, job, revision, pages, revisions)

    async def list(self) -> Sequence[tuple[Job, Holder | None]]:
        """Return all jobs, the newest first, each with the process that runs it now. Raises JobsMissing, StoreError."""
        await self.check()
        heads = await self._all(f"$KV.{self._bucket}.*")
        runs = await self._all(f"$KV.{self._bucket}.*.{_RUN}")
        jobs = [job for value in heads.values() if (job := _job_of(value)) is not None]
        found = [(job, _holder_of(runs.get(f"{job.id}.{_RUN}", b""))) for job in jobs]
        return sorted(found, key=lambda one: one[0].created, reverse=True)

    async def holder(self, id: str) -> Holder | None:
        """Return the process that runs a job now; None if there is none. Raises StoreError."""
        found = await self.bucket.last(f"{id}.{_RUN}")
        return None if found is None else _holder_of(found.value)

    async def hold(self, id: str, holder: Holder, wait: Callable[[Holder], None]) -> Hold:
        """Take a job, so that nobody else runs it. `wait` is called if somebody else did so a moment ago.

        Raises JobHeld if that process gives a sign of life, or is faster. Raises StoreError.
        """
        key, since = f"{id}.{_RUN}", self._wire.now()
        first: int | None = None
        while True:
            found = await self.bucket.last(key)
            other = None if found is None else _holder_of(found.value)
            if found is not None and other is not None:
                if first is None:
                    first = found.revision
                    wait(other)
                if found.revision != first:
                    raise JobHeld(f"job {id} is run by {other}: let it end, or stop it there")
                if self._wire.now() - since <= HELD_FOR:
                    await self._wire.sleep(LOOK)
                    continue
            try:
                revision = await self._sign(key, holder, 0 if found is None else found.revision)
            except Conflict:  # somebody was faster, and lives
                first = -1
                continue
            return Hold(self, key, holder, revision)

    # ------------------------------------------------------------- private

    async def _head(self, id: str) -> tuple[Job, int]:
        await self.check()
        found = await self.bucket.last(id)
        job = None if found is None else _job_of(found.value)
        if found is None or job is None:
            raise UnknownJob(f"there is no job {id}: `sagakit jobs` lists them")
        return job, found.revision

    async def _all(self, subject: str) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        async with Tail(self._wire, f"KV_{self._bucket}", subject) as tail:
            while tail.behind:
                for one in await tail.take(1.0):
                    deleted = _OPERATION.encode() in one.headers
                    found[one.subject.removeprefix(f"$KV.{self._bucket}.")] = b"" if deleted else one.payload
        return found

    async def _sign(self, key: str, holder: Holder, expected: int) -> int:
        return await self.bucket.put(key, _encoder.encode(holder), expected, {_TTL: f"{2 * HELD_FOR:.0f}s"})


class JobPages:
    """A job with its list in memory, as one run of it changes them."""

    def __init__(self, jobs: Jobs, job: Job, revision: int, pages: Sequence[JobPage], revisions: Sequence[int]) -> None:
        self._jobs = jobs
        self._revision = revision
        self._revisions = list(revisions)
        self._changed: set[int] = set()
        self.job: Job = job
        """The head; its counts are brought up to date by `save`."""
        self.pages: Sequence[JobPage] = pages
        """The list, in the order of the plan."""
        self._page_of = {item.key: number for number, page in enumerate(pages) for item in page.sagas}

    def items(self) -> list[JobItem]:
        """Return the sagas, in the order of the plan."""
        return [item for page in self.pages for item in page.sagas]

    def has_begun(self, item: JobItem) -> bool:
        """Return True if the saga may have been sent the verb, by this run or by another one."""
        return self.pages[self._page_of[item.key]].begun

    def begin(self, number: int) -> None:
        """Note that the sagas of a page may be sent the verb, once `save` has made that durable."""
        if not self.pages[number].begun:
            self.pages[number].begun = True
            self._changed.add(number)

    def mark(self, item: JobItem, verdict: str, why: str) -> None:
        """Note a verdict; `save` makes that durable."""
        item.verdict, item.why = verdict[:MAX_TEXT], why[:MAX_TEXT]
        self._changed.add(self._page_of[item.key])

    async def save(self, *, ended: float | None = None) -> None:
        """Make the marks durable. `ended` is the time at which the last verdict came, if all are known.

        Raises JobHeld if another process has changed the job, which then runs it. Raises StoreError.
        """
        job = self.job
        try:
            while self._changed:
                number = self._changed.pop()
                value = _encoder.encode(self.pages[number])
                revision = await self._jobs.bucket.put(f"{job.id}.{number}", value, self._revisions[number])
                self._revisions[number] = revision
            counts = dict(Counter(item.verdict for item in self.items() if item.verdict))
            if counts != job.verdicts or ended != job.ended:
                job.verdicts, job.ended = counts, ended
                self._revision = await self._jobs.bucket.put(job.id, _encoder.encode(job), self._revision)
        except Conflict:
            raise JobHeld(f"job {job.id} was taken over by another process, which goes on with it") from None


class Hold:
    """The right to run a job, for as long as it gives signs of life. Made by `Jobs.hold`."""

    def __init__(self, jobs: Jobs, key: str, holder: Holder, revision: int) -> None:
        self._jobs = jobs
        self._key = key
        self._holder = holder
        self._revision = revision

    async def renew(self) -> None:
        """Give a sign of life. Raises JobHeld if the job was taken over, StoreError."""
        self._holder = msgspec.structs.replace(self._holder, sign=self._holder.sign + 1)
        try:
            self._revision = await self._jobs._sign(self._key, self._holder, self._revision)
        except Conflict:
            found = await self._jobs.bucket.last(self._key)
            if found is not None and found.value:
                raise JobHeld(f"the job was taken over by {_holder_of(found.value)}, which goes on with it") from None
            # it has expired on the server during an outage, and nobody has taken it
            self._revision = await self._jobs._sign(self._key, self._holder, 0 if found is None else found.revision)

    async def release(self) -> None:
        """Give the job back, so that it can be run at once. Raises StoreError."""
        try:
            await self._jobs.bucket.put(self._key, b"", self._revision, {_OPERATION: "DEL", _TTL: f"{HELD_FOR:.0f}s"})
        except Conflict:
            return


def _pages(items: Iterable[JobItem], max_payload: int) -> Iterable[JobPage]:
    """Yield pages that stay below `max_payload` when all verdicts are written into them."""
    page: list[JobItem] = []
    size = 0
    for item in items:
        own = len(_encoder.encode(item)) + ROOM
        if page and size + own > max_payload * PAGE_SHARE:
            yield JobPage(sagas=page)
            page, size = [], 0
        page.append(item)
        size += own
    if page:
        yield JobPage(sagas=page)


def _job_of(value: bytes) -> Job | None:
    try:
        return msgspec.json.decode(value, type=Job) if value else None
    except UNREADABLE:  # a newer sagakit has written it
        return None


def _holder_of(value: bytes) -> Holder | None:
    try:
        return msgspec.json.decode(value, type=Holder) if value else None
    except UNREADABLE:
        return None
