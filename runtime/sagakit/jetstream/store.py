"""JetStream as one `Store`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from sagakit.errors import Ambiguous, Unavailable
from sagakit.jetstream.batches import Batches, batches_on
from sagakit.jetstream.clock import ServerClock, server_time
from sagakit.jetstream.command_stream import CommandStreams
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.control import CoreControl
from sagakit.jetstream.event_log import Events, GatheringEvents
from sagakit.jetstream.inbox import StreamInbox
from sagakit.jetstream.kv import Bucket, GatheringBucket
from sagakit.jetstream.layout import StreamOptions, is_cluster, make_layout
from sagakit.jetstream.link import Link
from sagakit.jetstream.link_wire import LinkWire
from sagakit.jetstream.older_layout import complete_layout
from sagakit.jetstream.quota import usage_of_account
from sagakit.jetstream.server_check import check_server, names_as_made
from sagakit.jetstream.step_commands import StreamCommands, check_stream
from sagakit.jetstream.wire_reading import WireReading
from sagakit.store.names import Names
from sagakit.store.ports import BucketUsage

ELECTED_WITHIN = 15.0
"""Seconds that streams get to have their leaders, at the least, when several workers make them at once."""
AGAIN = 0.1
"""Seconds until a layout that could not be made is tried again."""


class JetStreamStore:
    """The port `Store`; each part's port has its documentation."""

    def __init__(
        self,
        link: Link,
        names: Names,
        clock: ServerClock,
        options: StreamOptions,
        *,
        clustered: bool,
        batches: Batches | None,
    ) -> None:
        self._link = link
        self._options = options
        self.names = names
        self.clustered: bool = clustered
        self.state: Bucket = _bucket(link, names, names.state, batches)
        self.archive: Bucket = _bucket(link, names, names.archive, batches)
        self.meta: Bucket = Bucket(link, names, [names.meta])
        self.workers: Bucket = Bucket(link, names, [names.workers])
        self.values: Bucket = Bucket(link, names, [names.values])
        self.events: Events = Events(link, names) if batches is None else GatheringEvents(link, names, batches)
        self.reading: WireReading = WireReading(LinkWire(link), names, link.refused)
        self.commands: StreamCommands = StreamCommands(link, names)
        self.inbox: StreamInbox = StreamInbox(link, names, clock)
        self.command_streams: CommandStreams = CommandStreams(link, names)
        self.control: CoreControl = CoreControl(link, names)
        self.clock: ServerClock = clock
        self.wire: LinkWire = LinkWire(link)
        """The connection itself, for code that knows neither trio nor asyncio."""

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        return self._link.max_payload

    @property
    def connected(self) -> bool:
        """True while the connection is up."""
        return self._link.connected

    @property
    def messages_sent(self) -> int:
        """Messages sent over this connection so far: for benchmarks."""
        return self._link.sent

    async def complete_layout(self) -> None:
        """Add what a layout lacks that an older version has made."""
        level = await check_server(self.wire, self._link.server_version)
        await complete_layout(self._link, self.names, self._options, level)

    async def check_values(self) -> None:
        """Check that there is a bucket of large values."""
        await check_stream(self._link, f"KV_{self.names.values}")

    async def account_usage(self) -> BucketUsage | None:
        """Ask how much storage the account uses."""
        return await usage_of_account(self._link)

    async def until_connected(self) -> None:
        """Return when the connection is up."""
        await self._link.until_connected()

    @property
    def reconnected_at(self) -> float:
        """Time, by trio's clock, when the connection last came back."""
        return self._link.reconnected_at

    @property
    def reconnects(self) -> int:
        """Number of times that the connection was lost and came back."""
        return self._link.reconnects

    async def until_reconnected(self, since: float) -> None:
        """Return when the connection has come back after `since`."""
        await self._link.until_reconnected(since)

    async def until_room(self) -> None:
        """Return when the window has room."""
        await self._link.until_room()


@asynccontextmanager
async def open_jetstream(
    connection: Connection, *, names: Names, options: StreamOptions | None = None, shards_as_made: bool = False
) -> AsyncIterator[JetStreamStore]:
    """Connect, check the server, make what is missing.

    With `shards_as_made` the number of shards is that of the layout, if there is one. Raises CannotConnect,
    ServerTooOld, JetStreamOff, BadBucket, BadLayout, StoreError.
    """
    options = options if options is not None else StreamOptions()
    async with open_link(connection) as link:
        clock = ServerClock(partial(server_time, link, names), reconnected_at=lambda: link.reconnected_at)
        names, clustered, batches = await _laid_out(link, names, options, clock, shards_as_made=shards_as_made)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.keep)
            if batches is not None:
                nursery.start_soon(batches.pause.keep)
            yield JetStreamStore(link, names, clock, options, clustered=clustered, batches=batches)
            nursery.cancel_scope.cancel()


def _bucket(link: Link, names: Names, buckets: Sequence[str], batches: Batches | None) -> Bucket:
    return Bucket(link, names, buckets) if batches is None else GatheringBucket(link, names, buckets, batches)


async def _laid_out(
    link: Link, names: Names, options: StreamOptions, clock: ServerClock, *, shards_as_made: bool
) -> tuple[Names, bool, Batches | None]:
    """Make the layout, through an outage: on a cluster, a stream that was just made may have no leader yet."""
    give_up = trio.current_time() + max(link.connect_timeout, ELECTED_WITHIN)
    while True:
        try:
            level = await check_server(LinkWire(link), link.server_version)
            if shards_as_made:
                names = await names_as_made(LinkWire(link), names)
            configs = await make_layout(link, names, options, level)
            await clock.sample()
            batches = batches_on(link, configs) if options.group_commit else None
            return names, await is_cluster(link, names), batches
        except (Unavailable, Ambiguous):
            if trio.current_time() > give_up:
                raise
            await trio.sleep(AGAIN)
