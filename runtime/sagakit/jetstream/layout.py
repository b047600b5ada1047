"""The layout of buckets and streams: what is missing is made, what would break a promise is refused.

See docs/architecture.md, "The wire".
"""

from __future__ import annotations

from functools import partial
from secrets import randbelow
from typing import Any, Literal, TypeAlias

import msgspec
import trio

from sagakit.errors import (
    BadBucket,
    LayoutMissing,
    NotPermitted,
    OtherDomain,
    StoreError,
    Unavailable,
)
from sagakit.jetstream.answers import AWAY
from sagakit.jetstream.bucket_config import IN_USE, SECOND, bucket_config, max_age
from sagakit.jetstream.domains import check_nobody_captures
from sagakit.jetstream.kv import Bucket
from sagakit.jetstream.link import Link
from sagakit.jetstream.one_stream import ask_stream
from sagakit.jetstream.server_check import BATCHES, BATCHES_LEVEL, SCHEMA, Layout, layout_of
from sagakit.store.names import Names
from sagakit.store.permissions import needed_streams
from sagakit.store.ports import DUPLICATES, BucketOptions

NOT_FOUND = 10059
NO_PEERS = 10005
"""There are not enough servers for the replicas: they are too few, full, of the wrong tags, or offline."""
DEAD_TTL = 30 * 86400.0
"""Seconds that a dead letter is kept."""
DEAD_LETTERS = 1_000_000
"""Dead letters that are kept; the oldest ones go first."""
JOBS_TTL = 30 * 86400.0
"""Seconds that a job is kept."""
FAR = 10**12
"""A revision that no bucket reaches."""


Configs: TypeAlias = dict[str, dict[str, Any]]
"""Configurations of streams, by the names of the streams."""


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of buckets and streams. Times are seconds, None is forever; sizes are bytes, None is no limit."""

    storage: Literal["file", "memory"] = "file"
    replicas: int | None = None
    state_max_bytes: int | None = None
    archive_ttl: float | None = 7 * 86400.0
    events_ttl: float | None = None
    group_commit: bool = False
    """True if writes that gather may go as atomic batches."""


async def make_layout(link: Link, names: Names, options: StreamOptions, level: int) -> Configs:
    """Make what is missing, the meta bucket first. Return the configurations of the streams that sagas write to.

    `level` is the server's API level. Raises BadBucket, LayoutMissing, OtherDomain, StoreError.
    """
    try:
        return await _make_layout(link, names, options, level)
    except NotPermitted as refused:
        missing = await _missing(link, names) if ".STREAM.CREATE." in refused.subject else []
        if not missing:
            raise
        raise LayoutMissing(missing) from None


async def is_cluster(link: Link, names: Names) -> bool:
    """Return True if the servers form a cluster, by what the meta bucket's stream says. Raises StoreError."""
    return bool((await ask_stream(link, f"$JS.API.STREAM.INFO.KV_{names.meta}")).cluster.get("name"))


async def _missing(link: Link, names: Names) -> list[str]:
    return [name for name in needed_streams(names) if await _is_missing(link, name)]


async def _is_missing(link: Link, stream: str) -> bool:
    error = (await ask_stream(link, f"$JS.API.STREAM.INFO.{stream}")).error
    return error is not None and error.err_code == NOT_FOUND


async def _make_layout(link: Link, names: Names, options: StreamOptions, level: int) -> Configs:
    configs: Configs = {}
    await _check_domains(link, names)
    replicas, batches = _replicas(link, options), level >= BATCHES_LEVEL
    bucket = partial(BucketOptions, storage=options.storage, replicas=replicas)
    base = {"storage": options.storage, "num_replicas": replicas}
    await make_bucket(link, names.meta, bucket(description="sagakit: schema, shards, plans"))
    meta = Bucket(link, names, [names.meta])
    await _until_led(link, names, meta)
    # Layouts of older versions do not have these, and need none until `sagakit setup` adds them: most accounts may not,
    # and the server would log a violation each time that one of them tries. They are made before the layout is written
    # down: if that is cut off here, the next worker finds a new layout again
    if await meta.get("layout") is None:
        await make_jobs(link, names, options)
        await make_queues(link, names, options)
        await make_values(link, names, options)
    is_new = await _check_shards(meta, names)
    # A bucket in place of a lost one begins at a random sequence far above all that the lost one had. Otherwise the
    # write of an owner that has not noticed the loss could match a revision of the new bucket by chance (P7).
    first = None if is_new else FAR + randbelow(FAR)
    for name in names.state:
        state = bucket(description="sagakit: live sagas", max_bytes=options.state_max_bytes)
        configs[f"KV_{name}"] = await make_bucket(link, name, state, first=first, batches=batches)
        _check_state(name, configs[f"KV_{name}"])
    for name in names.archive:
        archive = bucket(description="sagakit: finished sagas", ttl=options.archive_ttl)
        configs[f"KV_{name}"] = await make_bucket(link, name, archive, batches=batches)
    await make_bucket(link, names.workers, bucket(description="sagakit: leases"))
    for shard, stream in enumerate(names.events):
        configs[stream] = await _ensure(
            link,
            {"name": stream, "subjects": names.event_subjects(shard), "description": "sagakit: events"}
            | base
            | max_age(options.events_ttl)
            | _batches(batches),
        )
    await _ensure(link, _inbox_config(names) | base)
    await _ensure(link, _dead_letters_config(names) | base)
    return configs


def _inbox_config(names: Names) -> dict[str, Any]:
    return {
        "name": names.inbox,
        "subjects": names.inbox_subjects,
        "retention": "workqueue",
        "duplicate_window": round(DUPLICATES * SECOND),
        "description": "sagakit: inbound messages",
    }


def _dead_letters_config(names: Names) -> dict[str, Any]:
    return {
        "name": names.dead,
        "subjects": [names.subject("sagadead.>")],
        "max_age": round(DEAD_TTL * SECOND),
        "max_msgs": DEAD_LETTERS,
        "discard": "old",
        "description": "sagakit: messages that can never be applied",
    }


async def make_queues(link: Link, names: Names, options: StreamOptions) -> None:
    """Make the two streams of commands if they are missing. Raises BadBucket, Unavailable."""
    base = {
        "retention": "workqueue",
        "discard": "new",
        "duplicate_window": round(DUPLICATES * SECOND),
        "storage": options.storage,
        "num_replicas": _replicas(link, options),
    }
    for name, subject, of in (
        (names.commands, names.command_subject(">"), "commands to participants"),
        (names.intake, names.intake_subject(">"), "commands that start, signal and cancel sagas"),
    ):
        await _ensure(link, base | {"name": name, "subjects": [subject], "description": f"sagakit: {of}"})


async def make_jobs(link: Link, names: Names, options: StreamOptions) -> None:
    """Make the bucket of the jobs if it is missing. Raises BadBucket, Unavailable."""
    bucket = BucketOptions(
        description="sagakit: verbs for many sagas",
        ttl=JOBS_TTL,
        storage=options.storage,
        replicas=_replicas(link, options),
    )
    await make_bucket(link, names.jobs, bucket)


async def make_values(link: Link, names: Names, options: StreamOptions) -> None:
    """Make the bucket of the large values if it is missing. Raises BadBucket, Unavailable."""
    bucket = BucketOptions(
        description="sagakit: large values of sagas", storage=options.storage, replicas=_replicas(link, options)
    )
    await make_bucket(link, names.values, bucket)


def _replicas(link: Link, options: StreamOptions) -> int:
    return options.replicas or (3 if len(link.client.servers) >= 3 else 1)


async def _check_domains(link: Link, names: Names) -> None:
    """Refuse to make a second inbox in the account. Raises OtherDomain, Unavailable."""
    if not await _is_missing(link, names.inbox):
        return
    try:
        await check_nobody_captures(link, names)
    except OtherDomain:
        if await _is_missing(link, names.inbox):  # else somebody has just made ours
            raise


async def make_bucket(
    link: Link, name: str, options: BucketOptions, *, first: int | None = None, batches: bool = False
) -> dict[str, Any]:
    """Make a KV bucket as `nats kv` does, with direct get off and per-message TTL on. Return its configuration.

    Its revisions begin at `first`, or at 1. With `batches` it takes atomic batches; a server older than 2.12 does not
    know them. Raises BadBucket, Unavailable.
    """
    begins = {} if first is None else {"first_seq": first}
    return await _ensure(link, bucket_config(name, options) | begins | _batches(batches))


def _batches(allowed: bool) -> dict[str, bool]:
    return {BATCHES: True} if allowed else {}


async def _ensure(link: Link, config: dict[str, Any]) -> dict[str, Any]:
    """Return the stream's configuration, as it is or as it was made now."""
    name = config["name"]
    found = await ask_stream(link, f"$JS.API.STREAM.INFO.{name}")
    if found.error is not None and found.error.err_code == NOT_FOUND:
        found = await ask_stream(link, f"$JS.API.STREAM.CREATE.{name}", config)
        if found.error is not None and found.error.err_code == IN_USE:
            found = await ask_stream(link, f"$JS.API.STREAM.INFO.{name}")  # somebody else was faster
    if found.error is None:
        return found.config
    if found.error.err_code in AWAY:
        raise Unavailable(f"{name}: {found.error.description}")
    if found.error.err_code == NO_PEERS and "offline" in found.error.description:
        few = f"start the servers that are missing, or ask for fewer replicas than {config['num_replicas']}"
        raise Unavailable(f"{name} cannot be made now: {found.error.description}: {few}")
    raise BadBucket(f"{name} cannot be made: {found.error.description} (err_code {found.error.err_code})")


def _check_state(bucket: str, config: dict[str, Any]) -> None:
    wrong = {
        "a TTL (max_age)": bool(config.get("max_age")),
        "no per-message TTL": not config.get("allow_msg_ttl"),
        "direct get (stale reads)": bool(config.get("allow_direct")),
        "a history other than 1": config.get("max_msgs_per_subject") != 1,
        "limit markers": bool(config.get("subject_delete_marker_ttl")),
        "old messages discarded for new ones": config.get("discard") != "new",
    }
    found = [what for what, is_so in wrong.items() if is_so]
    if found:
        raise BadBucket(
            f"bucket {bucket} exists with {' and '.join(found)}: sagas could be lost or started twice; mend it with "
            f"`nats stream edit KV_{bucket}`, or use another namespace"
        )


async def _until_led(link: Link, names: Names, meta: Bucket) -> None:
    """Wait for the leader of a bucket that another worker has just made on a cluster. Raises Unavailable."""
    with trio.move_on_after(link.connect_timeout) as limit:
        await meta.until_there("layout")
    if limit.cancelled_caught:
        raise Unavailable(f"{names.meta} has had no leader for {link.connect_timeout:g} s: is the cluster whole?")


async def _check_shards(meta: Bucket, names: Names) -> bool:
    """Write down the number of shards, or compare it with the one that is written down. Return True if it is new."""
    wanted = Layout(SCHEMA, names.shards)
    entry = await meta.get("layout")
    if entry is None:
        try:
            await meta.create("layout", msgspec.json.encode(wanted))
        except StoreError:
            entry = await meta.get("layout")
    if entry is None:
        return True
    found = layout_of(names, entry.value)
    if found.shards != names.shards:
        raise BadBucket(
            f"the buckets were made with shards={found.shards}, this runtime says shards={names.shards}: the number is "
            "fixed when they are made; open with the same, or use another namespace"
        )
    return False
