"""Opening a participant in an asyncio program, without trio, and in a trio program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Unpack

from sagakit.client.bare_errors import bare_errors
from sagakit.client.client_opening import ClientOptions, client_config
from sagakit.client.reaching import client_connection, usable_names
from sagakit.definition.payloads import PayloadCodec, Payloads
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.participant.key_store import Keys
from sagakit.participant.kv_keys import KvKeys
from sagakit.participant.server_time import ServerTime
from sagakit.participant.service import Service
from sagakit.participant.serving import Serving
from sagakit.tracing import CommandTracing

MAX_CONCURRENT = 16


@asynccontextmanager
async def open_asyncio_participant(
    url: str,
    participant: Service,
    *,
    keys: Keys | KvKeys,
    max_concurrent: int = MAX_CONCURRENT,
    tracing: CommandTracing | None = None,
    micro: bool = True,
    payload_codec: PayloadCodec | Sequence[PayloadCodec] | None = None,
    **options: Unpack[ClientOptions],
) -> AsyncIterator[None]:
    """Serve a participant on this asyncio program's loop while the context is open. No trio is loaded.

    `keys` keeps what was done. At most `max_concurrent` commands of each endpoint are worked on at a time. With
    `tracing`, such as `sagakit.otel.OtelTracing`, each command has a span, the current one in its handler. `nats micro
    ls|info|stats` shows the participant, unless `micro` is False. `payload_codec` is that of the workers whose commands
    come: it opens commands, and seals what is replied and kept. Leaving the context takes no more commands, and waits
    until those in hand are answered. Raises as `open_client`, and BadBucket.
    """
    config, payloads = client_config(options), Payloads(payload_codec)
    with bare_errors():
        async with open_asyncio_wire(client_connection(url, config)) as wire:
            names = await usable_names(wire, wire.server_version, config)
            kept = await keys.opened(wire, ServerTime(wire, names)) if isinstance(keys, KvKeys) else keys
            serving = Serving(
                wire,
                names,
                participant,
                kept,
                max_concurrent=max_concurrent,
                tracing=tracing,
                micro=micro,
                payloads=payloads,
            )
            async with asyncio.TaskGroup() as group:
                group.create_task(serving.run())
                try:
                    yield
                finally:
                    serving.stop()


@asynccontextmanager
async def open_participant(
    url: str,
    participant: Service,
    *,
    keys: Keys | KvKeys,
    max_concurrent: int = MAX_CONCURRENT,
    tracing: CommandTracing | None = None,
    micro: bool = True,
    payload_codec: PayloadCodec | Sequence[PayloadCodec] | None = None,
    **options: Unpack[ClientOptions],
) -> AsyncIterator[None]:
    """Serve a participant in this trio program while the context is open. As `open_asyncio_participant`."""
    import trio

    from sagakit.jetstream.connecting import open_link
    from sagakit.jetstream.link_wire import LinkWire

    config, payloads = client_config(options), Payloads(payload_codec)
    with bare_errors():
        async with open_link(client_connection(url, config)) as link:
            wire = LinkWire(link)
            names = await usable_names(wire, link.server_version, config)
            kept = await keys.opened(wire, ServerTime(wire, names)) if isinstance(keys, KvKeys) else keys
            serving = Serving(
                wire,
                names,
                participant,
                kept,
                max_concurrent=max_concurrent,
                tracing=tracing,
                micro=micro,
                payloads=payloads,
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serving.run)
                try:
                    yield
                finally:
                    serving.stop()
