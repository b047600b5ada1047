"""Keys in a KV bucket of JetStream: apart from the work, so that the handlers themselves must be idempotent.

An entry names the process that works on a key, or has the reply that was kept. A process renews its entry while it
works. If it dies, the entry expires, and the process that gets the command next does the work again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from math import ceil
from typing import Protocol
from uuid import uuid4

import msgspec

from sagakit.client.wire_bucket import WireBucket
from sagakit.errors import BadBucket, Conflict, InvalidInput, NotPermitted, StoreError
from sagakit.jetstream.answers import NO_STREAM, ApiError, to_error
from sagakit.jetstream.bucket_config import IN_USE, bucket_config
from sagakit.participant.key_store import GONE, Busy, DoWork, KeptReply, Keys, UndoWork
from sagakit.store.ports import BucketOptions, Wire

LEASE = 20.0
"""Seconds for which a process holds a key without a sign that it lives. A dead one has lost it before the server
delivers its command again."""


class KnowsTime(Protocol):
    """Tells the time that all processes go by: the server's."""

    async def now(self) -> float:
        """Return the time, in seconds since the epoch. Raises StoreError."""
        ...


class _KeyEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of the bucket. With a `holder` the key is worked on, `until` by the server's clock."""

    key: str
    reply: KeptReply | None = None
    holder: str = ""
    until: float = 0.0


class _KeyStreamConfig(msgspec.Struct):
    max_age: int = 0
    allow_msg_ttl: bool = False
    discard: str = ""


class _KeyStreamInfo(msgspec.Struct):
    config: _KeyStreamConfig | None = None
    error: ApiError | None = None


_entry = msgspec.json.Decoder(_KeyEntry)
_found = msgspec.json.Decoder(_KeyStreamInfo)


class KvKeys:
    """Keys in a KV bucket, for a service without a database of its own.

    **The handlers must be idempotent by `ctx.key`.** The work and its key are not one transaction: a handler runs again
    under the same key if its process ended before the reply was kept, or was paused for longer than it holds a key. An
    undo is also called with None, for what may never have happened. Use `SqlKeys` where there is a database.

    Any number of processes share a bucket. It is made if it is not there, on `replicas` servers, or before that by
    `nats kv add payments_keys`. With `horizon` the server removes a key after so many seconds; the bucket then needs
    TTLs for single messages (`allow_msg_ttl`).

        open_participant(url, payments, keys=KvKeys("payments_keys"))
    """

    def __init__(self, bucket: str, *, horizon: float | None = None, replicas: int = 1) -> None:
        if horizon is not None and not horizon > 2 * LEASE:
            raise InvalidInput(f"horizon={horizon!r}: give more than {2 * LEASE:g} seconds, or None for ever")
        self.bucket: str = bucket
        self.horizon: float | None = horizon
        self._replicas = replicas

    async def opened(self, wire: Wire, time: KnowsTime) -> Keys:
        """Return the keys over a connection. Raises BadBucket, StoreError."""
        config = await self._config(wire)
        wrong = {
            "a TTL (max_age)": bool(config.max_age),
            "no TTL for single messages (allow_msg_ttl)": self.horizon is not None and not config.allow_msg_ttl,
            "old messages discarded for new ones": config.discard != "new",
        }
        if found := [what for what, is_so in wrong.items() if is_so]:
            raise BadBucket(
                f"bucket {self.bucket} has {' and '.join(found)}: keys could be forgotten and work done twice, or "
                f"never be removed; mend it with `nats stream edit KV_{self.bucket}`, or name another bucket"
            )
        return _BucketKeys(wire, self.bucket, time, self.horizon)

    async def _config(self, wire: Wire) -> _KeyStreamConfig:
        found = await _ask(wire, f"$JS.API.STREAM.INFO.KV_{self.bucket}")
        if found.error is not None and found.error.err_code == NO_STREAM:
            options = BucketOptions(replicas=self._replicas, description="keys of a participant of sagakit")
            config = msgspec.json.encode(bucket_config(self.bucket, options))
            try:
                found = await _ask(wire, f"$JS.API.STREAM.CREATE.KV_{self.bucket}", config)
            except NotPermitted as error:
                raise BadBucket(
                    f"there is no bucket {self.bucket}: make it with `nats kv add {self.bucket}`"
                ) from error
            if found.error is not None and found.error.err_code == IN_USE:  # another process was faster
                found = await _ask(wire, f"$JS.API.STREAM.INFO.KV_{self.bucket}")
        if found.error is not None:
            raise to_error(found.error, key=self.bucket, expected=None)
        return found.config or _KeyStreamConfig()


async def _ask(wire: Wire, call: str, payload: bytes = b"") -> _KeyStreamInfo:
    return _found.decode(await wire.request(call, payload))


class _BucketKeys:
    """Keys in a bucket, over a connection."""

    is_atomic = False

    def __init__(self, wire: Wire, bucket: str, time: KnowsTime, horizon: float | None) -> None:
        self._wire = wire
        self._bucket = WireBucket(wire, bucket)
        self._time = time
        self.horizon: float | None = horizon

    async def do(self, key: str, work: DoWork) -> KeptReply:
        """Do the work under a key, once if the handler is idempotent, and return what is kept. Raises Busy."""
        found, revision = await self._look(key)
        if found is not None:
            return found
        hold = await self._hold(key, None, revision)
        return await hold.during(lambda: work(None))

    async def burn(self, key: str, undo: UndoWork) -> None:
        """Call `undo`, and burn the key; do nothing if it is burnt. Raises Busy, and what `undo` raises."""
        found, revision = await self._look(key)
        if found == GONE:
            return
        hold = await self._hold(key, found, revision)

        async def burnt() -> KeptReply:
            await undo(None, found)
            return GONE

        await hold.during(burnt)

    async def look(self, key: str) -> KeptReply | None:
        """Return the reply that is kept under a key; None if none is. Raises Busy."""
        return (await self._look(key))[0]

    async def _look(self, key: str) -> tuple[KeptReply | None, int]:
        last = await self._bucket.last(_place(key))
        if last is None:
            return None, 0
        entry = _entry.decode(last.value) if last.value else _KeyEntry(key=key)
        if entry.holder and await self._time.now() < entry.until:
            raise Busy(key)
        return entry.reply, last.revision

    async def _hold(self, key: str, kept: KeptReply | None, revision: int) -> _HeldKey:
        hold = _HeldKey(self, key, kept, revision)
        await hold.renew()
        return hold

    async def write(self, entry: _KeyEntry, revision: int) -> int:
        """Write an entry in the place of a revision. Raises Busy if somebody else was faster."""
        ttl = {} if self.horizon is None else {"Nats-TTL": f"{ceil(self.horizon)}s"}
        try:
            return await self._bucket.put(_place(entry.key), msgspec.json.encode(entry), revision, ttl)
        except Conflict:
            raise Busy(entry.key) from None

    async def until(self) -> float:
        """Return the time until which a key is held from now on."""
        return await self._time.now() + LEASE

    async def renewing(self, renew: Callable[[], Awaitable[None]], work: Callable[[], Awaitable[None]]) -> None:
        """Renew a hold as long as the work goes on."""
        over = self._wire.event()

        async def until_over() -> None:
            while not await self._wire.within(LEASE / 3, over):
                try:
                    await renew()
                except (Busy, StoreError):  # the write that ends the hold says what has become of it
                    return

        async def worked() -> None:
            try:
                await work()
            finally:
                over.set()

        await self._wire.together(worked, until_over)


class _HeldKey:
    """A key that this process works on. `kept` is what was kept of it before."""

    def __init__(self, keys: _BucketKeys, key: str, kept: KeptReply | None, revision: int) -> None:
        self._keys = keys
        self._key = key
        self._kept = kept
        self._revision = revision
        self._holder = uuid4().hex

    async def renew(self) -> None:
        """Take the key, or keep it for longer. Raises Busy if another process has it."""
        held = _KeyEntry(key=self._key, reply=self._kept, holder=self._holder, until=await self._keys.until())
        self._revision = await self._keys.write(held, self._revision)

    async def during(self, work: Callable[[], Awaitable[KeptReply]]) -> KeptReply:
        """Work, and keep the reply. After an exception the key is as it was before.

        Raises Busy if another process has taken the key meanwhile: the reply of that process counts.
        """
        done: list[KeptReply] = []
        failed: list[Exception] = []

        async def run() -> None:
            try:
                done.append(await work())
            except Exception as error:  # raised below, once the key is free again
                failed.append(error)

        await self._keys.renewing(self.renew, run)
        reply = done[0] if done else self._kept
        await self._keys.write(_KeyEntry(key=self._key, reply=reply), self._revision)
        if failed:
            raise failed[0]
        return done[0]


def _place(key: str) -> str:
    """Return the key's name in the bucket, which takes fewer characters than a key may have."""
    return blake2b(key.encode(), digest_size=20, person=b"sagakit_keys").hexdigest()
