"""A run of a job: each saga without a verdict is sent the verb, and its verdict is read back and written down.

The truth about a saga is its record. A tail of the state bucket brings the records as they are written, so that no saga
is asked by itself. A saga that has ended meanwhile is looked up in the archive. Only what a record, an end marker or
the archive says is marked in the job, never the mere fact that a message was sent.

The id of a message is made from the job's id. A later run sends the very same messages, and the sagas apply each of
them once. Each message names the run that the plan saw, so another life of the id is not touched.

Everything here awaits a `Wire` only, so it runs on asyncio and on trio.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple, TypeAlias

import msgspec

from sagakit.client.job_keeping import JobKeeping
from sagakit.client.jobs import Hold, JobItem, JobPages
from sagakit.client.tail import News, Tail, Tailed
from sagakit.client.wire_bucket import last_value
from sagakit.engine import EndMarker, Inbound, InboundKind, PersistedSagaState, Record
from sagakit.engine.codec import decode_known
from sagakit.engine.verdicts import is_full
from sagakit.errors import Ambiguous, StoreError, Unavailable, Undecodable
from sagakit.jetstream.answers import decode_ack
from sagakit.jetstream.wire import header_block
from sagakit.messages.answered import answered
from sagakit.messages.channels import channel_of
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.limits import limits_for
from sagakit.naming import SagaKey, decode_id
from sagakit.store.names import Names
from sagakit.store.ports.wire_port import Wire, WireRequest

AT_ONCE = 512
"""Sagas that have been sent the verb and have not answered, at the most: enough that a worker rarely waits for more.
A worker has room for twice as many: those of a run that was killed, and of the one that resumes it. It parks what is
beyond that, which may take longer than the timeout."""
REFILL = 64
"""Sagas that are sent the verb together, if so many are left: one write to the socket serves them all."""
PATIENCE = 2.0
"""Seconds after which a saga that has not answered holds up no other one."""
LOOKS = 64
"""Sagas that are looked up at the same time."""
TICK = 0.1
"""Seconds between two looks at what is overdue."""
AGAIN = 0.1
"""Seconds until a request is tried again during an outage."""
UNANSWERED = "unanswered"
"""The word for a saga that has not answered in time. It is not a verdict: the job stays unfinished."""

UNREADABLE_RECORD = "unreadable"
"""The verdict on a saga whose record cannot be read here."""
Live: TypeAlias = Record | EndMarker | None
"""The value under a saga's key in the state bucket."""


class JobVerdict(NamedTuple):
    """A saga of a job with its verdict, and why the verb has no effect; empty if it has one."""

    item: JobItem
    verdict: str
    why: str


class JobRun:
    """A run of the job `pages`, which `hold` gives the right to. For one task; `stop` may be called by any.

    `explain` returns the reason of a refusal, empty for none, from the saga's record if there is one. `told` is called
    with each saga once its verdict is known. `rate` is in sagas a second, None for as fast as possible; `timeout` in
    seconds for each saga. `now` returns the time of the server's clock.
    """

    def __init__(
        self,
        wire: Wire,
        names: Names,
        pages: JobPages,
        hold: Hold,
        *,
        explain: Callable[[JobItem, str, Record | None], str],
        told: Callable[[JobVerdict], None],
        now: Callable[[], float],
        timeout: float,
        rate: float | None = None,
    ) -> None:
        self._wire = wire
        self._names = names
        self._pages = pages
        self._job = pages.job
        assert pages.job.verb != "delete", "deleting is not a message to a saga"
        self._verb: InboundKind = pages.job.verb
        self._explain = explain
        self._told = told
        self._limits = limits_for(wire.max_payload, max_isolated_crashes=1)
        self._timeout = timeout
        self._rate = rate
        self._open = {item.key: item for item in pages.items() if not item.verdict}
        self._seen: set[str] = set()
        """Keys under which the tails have brought something."""
        self._sent: dict[str, float] = {}
        """Sagas that were sent the verb and have not answered, each with the time."""
        self._flying: dict[str, float] = {}
        """The same without those that have been out for longer than PATIENCE."""
        self._looks: deque[tuple[JobItem, Live]] = deque()
        """Sagas to be looked up, each with what the state bucket has under its key."""
        self._to_look = News(wire)
        self._behind = len(names.state)
        self._ready = wire.event()
        self._keeping = JobKeeping(wire, pages, hold, now)
        self._over = self._keeping.over
        self._answered = News(wire)

    def stop(self) -> None:
        """Send nothing more, and let `run` return. The job can be resumed."""
        self._over.set()

    async def run(self, since: Mapping[str, int] | None = None) -> bool:
        """Go on with the job until it is over or stopped. Return True if every saga has its verdict.

        `since` has the last sequences of the state buckets' streams from before the plan was made: a first run reads
        only what was written since then. A later run gives None, and reads all records of the types.

        Raises JobHeld if another process has taken the job over, StoreError.
        """
        return await self._keeping.run(partial(self._work, since))

    async def _work(self, since: Mapping[str, int] | None) -> None:
        async with AsyncExitStack() as stack:
            follow = []
            for bucket in self._names.state:
                after = 0 if since is None else since[bucket]
                tail = Tail(self._wire, f"KV_{bucket}", self._subject(bucket), after=after)
                follow.append(partial(self._follow, await stack.enter_async_context(tail), f"$KV.{bucket}."))
            await self._wire.together(
                *follow,
                partial(self._send_all, is_resumed=since is None),
                self._look_up,
                self._end_overdue,
                *self._keeping.tasks,
            )

    def _subject(self, bucket: str) -> str:
        types = {key.partition(".")[0] for key in self._open}
        return f"$KV.{bucket}.{types.pop()}.>" if len(types) == 1 else f"$KV.{bucket}.>"

    # -------------------------------------------------------------- hearing

    async def _follow(self, tail: Tail, head: str) -> None:
        was_behind = True
        while not self._over.is_set():
            if was_behind and not tail.behind:
                was_behind = False
                self._behind -= 1
                if not self._behind:
                    self._ready.set()
            for message in await tail.take(TICK):
                self._read(message.subject.removeprefix(head), message)

    def _read(self, key: str, message: Tailed) -> None:
        item = self._open.get(key)
        if item is None:
            return
        self._seen.add(key)
        if b"KV-Operation" in message.headers:
            self._look_later(item, None)
            return
        try:
            found = decode_known(key, message.payload)
        except Undecodable:
            return
        self._judge(item, found)

    def _judge(self, item: JobItem, found: Record | EndMarker) -> None:
        """Settle a saga by what the state bucket has, if that is enough; else have it looked up."""
        if isinstance(found, EndMarker) or found.run != item.run:
            self._look_later(item, found)
            return
        verdict = self._verdict(item, found)
        if verdict is None and not self._pages.has_begun(item) and found.status != item.status:
            verdict = "changed"
        if verdict is not None:
            self._settle(item, verdict, found)

    def _verdict(self, item: JobItem, record: Record) -> str | None:
        """Return the verdict that the record of the right run has on the job's message; None if it may still come."""
        return answered(record, Inbound(id=self._id, kind=self._verb, run=item.run), live=True)

    @property
    def _id(self) -> str:
        return self._job.message_id or f"job-{self._job.id}"

    def _settle(self, item: JobItem, verdict: str, record: Record | None) -> None:
        if self._open.pop(item.key, None) is None:
            return
        self._sent.pop(item.key, None)
        self._flying.pop(item.key, None)
        why = self._explain(item, verdict, record)
        self._pages.mark(item, verdict, why)
        self._told(JobVerdict(item, verdict, why))
        self._wake()

    def _wake(self) -> None:
        self._answered.tell()
        if not self._open:
            self._over.set()
            self._to_look.tell()

    # -------------------------------------------------------------- sending

    async def _send_all(self, *, is_resumed: bool) -> None:
        while not (self._ready.is_set() or self._over.is_set()):
            await self._wire.within(TICK, self._ready)
        if is_resumed:
            await self._look_for_the_unseen()
        begun = self._wire.now()
        sent = 0
        for number in range(len(self._pages.pages)):
            left = [item for item in self._pages.pages[number].sagas if item.key in self._open]
            if left and not self._over.is_set():
                self._pages.begin(number)
                await self._keeping.save()
            while left and not self._over.is_set():
                room, enough = self._room(), min(REFILL, len(left))
                if self._rate is not None:
                    room, enough = min(room, int((self._wire.now() - begun) * self._rate) + 1 - sent), 1
                if room < enough:
                    await self._answered.wait(TICK)
                    continue
                now, left = left[:room], left[room:]
                await self._send([item for item in now if item.key in self._open])
                sent += len(now)

    async def _look_for_the_unseen(self) -> None:
        unseen = [item for key, item in self._open.items() if key not in self._seen]
        for item in unseen:
            self._look_later(item, None)
        while self._looks and not self._over.is_set():
            await self._answered.wait(TICK)

    def _room(self) -> int:
        long_ago = self._wire.now() - PATIENCE
        for key, at in list(self._flying.items()):
            if at > long_ago:
                break
            del self._flying[key]
        return AT_ONCE - len(self._flying)

    async def _send(self, items: Sequence[JobItem]) -> None:
        """Send the verb to sagas, until the server has it for each of them that has no verdict."""
        for item in items:
            self._flying[item.key] = self._wire.now()
        while items and not self._over.is_set():
            answers = await self._wire.request_all([self._request(item) for item in items])
            again: list[JobItem] = []
            trouble: StoreError | None = None
            for item, answer in zip(items, answers, strict=True):
                found = decode_ack(answer, item.key, None) if isinstance(answer, bytes) else answer
                if isinstance(found, StoreError):
                    trouble = found
                    again.append(item)
                elif item.key in self._open:  # else its verdict was faster than the acknowledgment
                    self._sent[item.key] = self._flying[item.key] = self._wire.now()
            if trouble is not None:
                await self._through_outage(trouble)
            items = [item for item in again if item.key in self._open]

    def _request(self, item: JobItem) -> WireRequest:
        job, (saga_type, _, id) = self._job, item.key.partition(".")
        request = InboxRequest(
            kind=self._verb, run=item.run, reason=job.reason, by=job.by, step=job.step, payload=job.payload
        )
        subject = self._names.inbound_subject(channel_of(request), SagaKey(saga_type, decode_id(id)))
        headers = header_block({"Nats-Msg-Id": f"{item.key}/{self._id}"})
        return WireRequest(subject, headers, msgspec.json.encode(request))

    # -------------------------------------------------------------- looking

    def _look_later(self, item: JobItem, live: Live) -> None:
        self._looks.append((item, live))
        self._to_look.tell()

    async def _look_up(self) -> None:
        while not self._over.is_set():
            if not self._looks:
                await self._to_look.wait(TICK)
                continue
            now = [self._looks.popleft() for _ in range(min(LOOKS, len(self._looks)))]
            await self._wire.together(*(partial(self._look, item, live) for item, live in now))
            self._wake()

    async def _look(self, item: JobItem, live: Live) -> Record | None:
        """Settle a saga by its archived record; without one, by what the state bucket has. Return a live record."""
        try:
            return await self._find(item, live)
        except Undecodable:
            self._settle(item, UNREADABLE_RECORD, None)
            return None

    async def _find(self, item: JobItem, live: Live) -> Record | None:
        if live is None:
            live = await self._get(item.key, self._names.state)
            if isinstance(live, PersistedSagaState) and live.run == item.run:
                self._judge(item, live)
                return live
        archived = await self._get(item.key, self._names.archive)
        if isinstance(archived, PersistedSagaState) and archived.run == item.run:
            self._settle(item, self._verdict(item, archived) or "ended", archived)
        elif live is None:
            self._settle(item, "no such saga", None)
        else:
            self._settle(item, "ended" if live.run == item.run else "other run", None)
        return None

    async def _get(self, key: str, buckets: tuple[str, ...]) -> Live:
        while True:
            try:
                found = await last_value(self._wire, buckets[self._names.shard_of(key)], key)
                break
            except (Unavailable, Ambiguous) as error:
                await self._through_outage(error)
        return None if found is None or not found.value else decode_known(key, found.value)

    async def _end_overdue(self) -> None:
        while not self._over.is_set():
            await self._wire.within(TICK, self._over)
            overdue = [self._open[key] for key in self._overdue()]
            if overdue:
                await self._wire.together(*(partial(self._give_up, item) for item in overdue[:LOOKS]))

    def _overdue(self) -> Iterator[str]:
        before = self._wire.now() - self._timeout
        return (key for key, at in list(self._sent.items()) if at <= before)

    async def _give_up(self, item: JobItem) -> None:
        """Look at a saga once more; if it has not answered, leave it to the next run."""
        record = await self._look(item, None)
        if item.key not in self._open:
            return
        if record is not None and is_full(record, self._verb, self._limits):
            self._settle(item, "full", record)
            return
        del self._open[item.key], self._sent[item.key]
        self._flying.pop(item.key, None)
        self._told(JobVerdict(item, UNANSWERED, self._explain(item, UNANSWERED, record)))
        self._wake()

    async def _through_outage(self, error: StoreError) -> None:
        """Wait until it is worth another try. Raises the error if another try would not help."""
        if not isinstance(error, Unavailable | Ambiguous):
            raise error
        await self._wire.sleep(AGAIN)
        await self._wire.until_connected()
