"""Buckets: compare-and-set publishes through the pump, reads from the leader, scans filtered at the server."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from math import ceil

import msgspec
import trio
from nats.aio.msg import Msg

from sagakit.errors import StoreError
from sagakit.jetstream.answers import decode_ack, take_ack
from sagakit.jetstream.batches import Batches
from sagakit.jetstream.link import Link
from sagakit.jetstream.link_wire import LinkWire
from sagakit.jetstream.quota import usage_of_stream
from sagakit.jetstream.scan import LAST_OF_EACH, Scan
from sagakit.jetstream.wire import header_block
from sagakit.jetstream.wire_reading import StoredMessage, is_deletion, last_message, last_request
from sagakit.store.bucket import BucketBase
from sagakit.store.gathering import BatchDone
from sagakit.store.names import Names
from sagakit.store.ports import BucketUsage, Cursor, Deletion, Done, Entry, Write

WATCH_BUFFER = 10_000
"""Changes that a slow watcher may be behind; beyond it the oldest are lost (a watch is a hint)."""

EXPECTED = "Nats-Expected-Last-Subject-Sequence"
OPERATION = "KV-Operation"
TTL = "Nats-TTL"
_operation = re.compile(rb"KV-Operation: *(\w+)").search
_EXPECTS = header_block({EXPECTED: "%d"})
_LIVES = header_block({TTL: "%ds"})
_LIVES_AND_EXPECTS = header_block({TTL: "%ds", EXPECTED: "%d"})


class Bucket(BucketBase):
    """The port `KeyValue`: a logical bucket over one or more shards."""

    def __init__(self, link: Link, names: Names, buckets: Sequence[str]) -> None:
        self._link = link
        self._wire = LinkWire(link)
        self._names = names
        self._buckets = tuple(buckets)
        self._only = f"$KV.{buckets[0]}." if len(buckets) == 1 else None

    def _bucket(self, key: str) -> str:
        return self._buckets[0] if len(self._buckets) == 1 else self._buckets[self._names.shard_of(key)]

    def _subject(self, key: str) -> str:
        return f"$KV.{self._bucket(key)}.{key}" if self._only is None else self._only + key

    # -------------------------------------------------------------- writes

    def submit(self, write: Write, done: Done) -> None:
        """Queue a write."""
        key = write.key
        subject = self._subject(key) if self._only is None else self._only + key
        take = partial(take_ack, key, write.expected, done)
        self._link.pump.send(subject, write.value, take, _headers(write), linger=write.linger)

    async def _write(self, write: Write) -> int:
        answer = await self._link.request(self._subject(write.key), write.value, headers=_headers(write))
        return _revision(write.key, write.expected, answer)

    async def delete(self, key: str, *, revision: int | None = None) -> int:
        """Delete, leaving a delete marker."""
        headers = header_block({OPERATION: "DEL"} | ({} if revision is None else {EXPECTED: str(revision)}))
        answer = await self._link.request(self._subject(key), b"", headers=headers)
        return _revision(key, revision, answer)

    async def purge(self, key: str, *, revision: int | None = None) -> None:
        """Remove every trace of a key, delete markers included."""
        bucket = self._bucket(key)
        newer = {} if revision is None else {"seq": revision + 1}
        request = msgspec.json.encode({"filter": f"$KV.{bucket}.{key}"} | newer)
        _revision(key, None, await self._link.request(f"$JS.API.STREAM.PURGE.KV_{bucket}", request))

    # --------------------------------------------------------------- reads

    async def get(self, key: str) -> Entry | None:
        """Read from the leader."""
        found = await self._last(key)
        return None if found is None or is_deletion(found.headers) else Entry(key, found.value, found.seq)

    async def deletion(self, key: str) -> Deletion | None:
        """Return what a deletion has left."""
        found = await self._last(key)
        operation = None if found is None else _operation(found.headers)
        return None if found is None or operation is None else Deletion(operation[1].decode(), found.seq, found.time)

    async def _last(self, key: str) -> StoredMessage | None:
        bucket = self._bucket(key)
        subject, stream = f"$KV.{bucket}.{key}", f"KV_{bucket}"
        answer = await self._link.request(f"$JS.API.STREAM.MSG.GET.{stream}", last_request(subject))
        return last_message(answer, key, stream, partial(self._link.refused, key=key))

    async def usage(self) -> Sequence[BucketUsage]:
        """Ask each shard's leader how much it holds."""
        return [await usage_of_stream(self._link, f"KV_{bucket}", bucket) for bucket in self._buckets]

    async def until_there(self, key: str) -> None:
        """Return when the leader answers."""
        await self._link.leaders.until_there(f"KV_{self._bucket(key)}")

    async def _scan(self, prefix: str, cursor: Cursor) -> AsyncGenerator[Entry]:
        for bucket in self._buckets:
            head = f"$KV.{bucket}."
            subject = f"{head}{prefix}.>" if prefix else f"{head}>"
            scan = Scan(
                self._wire,
                f"KV_{bucket}",
                [subject],
                after=cursor.reached.get(bucket, 0),
                refused=self._link.refused,
                start=LAST_OF_EACH,
            )
            async with aclosing(scan.pages()) as pages:
                async for page in pages:
                    for one in page:
                        if not is_deletion(one.headers):
                            yield Entry(one.subject[len(head) :], one.payload, one.sequence)
            cursor.reached[bucket] = scan.reached

    @asynccontextmanager
    async def watch(self, prefix: str = "") -> AsyncIterator[AsyncIterator[Entry]]:
        """Yield each later change, from the bucket's subjects: no consumer on the server, nothing across an outage."""
        send, receive = trio.open_memory_channel[Entry](WATCH_BUFFER)
        subscriptions = []
        for bucket in self._buckets:
            head = f"$KV.{bucket}."
            on_change = partial(_changed, head, send)
            subject = f"{head}{prefix}.>" if prefix else f"{head}>"
            subscriptions.append(await self._link.subscriptions.hear(subject, on_change))
        try:
            yield receive
        finally:
            with trio.move_on_after(1.0, shield=True):
                for subscription in subscriptions:
                    await self._link.subscriptions.end(subscription)


class GatheringBucket(Bucket):
    """A bucket whose writes may share atomic batches, shard by shard."""

    def __init__(self, link: Link, names: Names, buckets: Sequence[str], batches: Batches) -> None:
        super().__init__(link, names, buckets)
        self._batches = batches
        self._gatherings = [batches.gathering(f"KV_{bucket}", self) for bucket in buckets]

    def submit(self, write: Write, done: Done) -> None:
        """Queue a write."""
        key = write.key
        gathering = self._gatherings[0 if self._only is not None else self._names.shard_of(key)]
        if gathering is None:
            super().submit(write, done)
        else:
            gathering.submit(key, write, len(write.value), done, alone=write.alone or write.expected is None)

    def send_single(self, write: Write, done: Done) -> None:
        """Send a write by itself."""
        super().submit(write, done)

    def send_batch(self, writes: Sequence[Write], done: BatchDone) -> None:
        """Send writes to one shard as a batch."""
        self._batches.send([(self._subject(one.key), _headers(one), one.value) for one in writes], done)


def _changed(head: str, send: trio.MemorySendChannel[Entry], msg: Msg) -> None:
    if msg.headers is None or OPERATION not in msg.headers:
        try:
            send.send_nowait(Entry(msg.subject[len(head) :], msg.data, 0))
        except trio.WouldBlock:
            return


def _headers(write: Write) -> bytes:
    expected, ttl = write.expected, write.ttl
    if ttl is None:
        return b"" if expected is None else _EXPECTS % expected
    seconds = max(1, ceil(ttl))
    return _LIVES % seconds if expected is None else _LIVES_AND_EXPECTS % (seconds, expected)


def _revision(key: str, expected: int | None, answer: bytes) -> int:
    result = decode_ack(answer, key, expected)
    if isinstance(result, StoreError):
        raise result
    return result
