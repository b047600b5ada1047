"""Layouts that older versions have made: `sagakit setup` adds what they lack, workers open them as they are.

Workers have no right to change streams. A layout without these additions breaks no promise.
"""

from __future__ import annotations

from sagakit.errors import BadBucket, Unavailable
from sagakit.jetstream.answers import AWAY
from sagakit.jetstream.layout import StreamOptions, make_jobs, make_queues, make_values
from sagakit.jetstream.link import Link
from sagakit.jetstream.one_stream import ask_stream
from sagakit.jetstream.server_check import BATCHES, BATCHES_LEVEL
from sagakit.store.names import Names
from sagakit.store.permissions import batched_streams


async def complete_layout(link: Link, names: Names, options: StreamOptions, level: int) -> None:
    """Make the buckets of jobs and large values and the streams of commands, and have streams take atomic batches.

    These need a server whose API `level` has them. Raises BadBucket, StoreError.
    """
    await make_jobs(link, names, options)
    await make_queues(link, names, options)
    await make_values(link, names, options)
    if level >= BATCHES_LEVEL:
        for stream in batched_streams(names):
            await _allow_batches(link, stream)


async def _allow_batches(link: Link, stream: str) -> None:
    found = await ask_stream(link, f"$JS.API.STREAM.INFO.{stream}")
    if found.error is None and not found.config.get(BATCHES):
        found = await ask_stream(link, f"$JS.API.STREAM.UPDATE.{stream}", found.config | {BATCHES: True})
    if found.error is None:
        return
    if found.error.err_code in AWAY:
        raise Unavailable(f"{stream}: {found.error.description}")
    raise BadBucket(
        f"{stream} cannot be made to take atomic batches: {found.error.description} (err_code {found.error.err_code}); "
        f"sagas run without them: see `nats stream info {stream}`"
    )
