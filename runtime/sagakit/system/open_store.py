"""The opening of the store that a `Config` describes, for workers and for commands that need no worker."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from sagakit.jetstream.address import scheme_of
from sagakit.jetstream.layout import StreamOptions
from sagakit.jetstream.url import open_url
from sagakit.store.names import Names
from sagakit.store.ports import Store
from sagakit.system.config import Config
from sagakit.system.connection_options import connection_options


def names_of(config: Config) -> Names:
    """Return the names on the wire."""
    return Names(namespace=config.namespace, shards=config.shards)


def stream_options(url: str, config: Config) -> StreamOptions:
    """Return the options of the buckets and streams of the store at `url`."""
    return StreamOptions(
        storage=config.storage,
        replicas=config.replicas,
        state_max_bytes=config.state_max_bytes,
        archive_ttl=config.archive_ttl,
        events_ttl=config.events_ttl,
        group_commit=_groups(url, config),
    )


def _groups(url: str, config: Config) -> bool:
    """Return True if writes that gather may go as atomic batches: they pay where each acknowledgment costs an fsync."""
    always_syncs = scheme_of(url) == "embedded" and config.sync == "always"  # of another server nobody knows
    return config.group_commit == "on" or (config.group_commit == "auto" and always_syncs)


def open_store(url: str, config: Config, *, shards_as_made: bool = False) -> AbstractAsyncContextManager[Store]:
    """Open the store at `url` with the options of a `Config`. Raises the errors of `open_url`.

    With `shards_as_made` the number of shards is that of the layout, if there is one.
    """
    return open_url(
        url,
        names=names_of(config),
        options=stream_options(url, config),
        sync=config.sync,
        shards_as_made=shards_as_made,
        max_unacked=config.max_unacked,
        max_unacked_bytes=config.max_unacked_bytes,
        **connection_options(config),
    )
