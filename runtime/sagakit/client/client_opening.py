"""`open_client` for trio programs, and the parts of opening that asyncio programs share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Unpack

from sagakit.client.bare_errors import bare_errors
from sagakit.client.client import Client
from sagakit.client.misuse import opened
from sagakit.client.reaching import client_connection, usable_names
from sagakit.definition.payloads import PLAIN_PAYLOADS, PayloadCodec, Payloads
from sagakit.errors import InvalidConfig
from sagakit.jetstream.whereabouts import Home, check_trio
from sagakit.store.ports import Wire
from sagakit.system.config import Config
from sagakit.system.given_options import ConnectionOptions


class ClientOptions(ConnectionOptions, total=False):
    """Options of `open_client`; `Config` has their bounds and defaults. Times are seconds."""

    connect_timeout: float
    """Seconds until opening gives up on the server."""
    ack_timeout: float
    """Seconds after which a missing acknowledgment is ambiguous."""
    lease_ttl: float
    """Seconds without renewal after which a worker counts as dead: the option of the workers."""
    claim_above: int | None
    """Bytes of the largest input that a message holds itself; others are stored beside it. None: it holds all."""


def client_config(options: ClientOptions) -> Config:
    """Return the options of a client. Raises InvalidConfig, also for options of a worker."""
    unknown = sorted(set(options) - set(ClientOptions.__annotations__))
    if unknown:
        raise InvalidConfig(
            f"{unknown[0]} is not an option of a client; there are: {', '.join(ClientOptions.__annotations__)}"
        )
    return Config.of(dict(options))


async def client_on(
    wire: Wire, version: str, config: Config, check: Callable[[], None], payloads: Payloads = PLAIN_PAYLOADS
) -> Client:
    """Return a client on a connection. Raises the errors of `usable_names`."""
    names = await usable_names(wire, version, config)
    return Client(wire, names, payloads, ttl=config.lease_ttl, check=check, claim_above=config.claim_above)


@opened("client")
async def open_client(
    url: str,
    *,
    payload_codec: PayloadCodec | Sequence[PayloadCodec] | None = None,
    **options: Unpack[ClientOptions],
) -> AsyncIterator[Client]:
    """Open a client in this trio program: it starts, sees and helps the sagas of workers anywhere, and runs none.

        async with sagakit.open_client("nats://localhost") as client:
            outcome = await client.execute(PlaceOrder, "order-7", order)

    `url` is `nats://...` or `tls://...`. The account needs the permissions of the role `client`, and those of `reader`
    to look only. `payload_codec` is that of the workers: see `open_runtime`. Asyncio programs use
    `sagakit.asyncio.open_client`.

    Raises CannotConnect, LoginRefused, NotPermitted, ServerTooOld, JetStreamOff, PayloadTooSmall, LayoutMissing,
    BadLayout, BadBucket, InvalidConfig.
    """
    import trio

    from sagakit.jetstream.connecting import open_link
    from sagakit.jetstream.link_wire import LinkWire

    check_trio("client")
    config, payloads = client_config(options), Payloads(payload_codec)
    connection = client_connection(url, config)
    home = Home("client", trio.lowlevel.current_trio_token())
    with bare_errors():
        async with open_link(connection) as link, trio.open_nursery() as nursery:
            client = await client_on(LinkWire(link), link.server_version, config, home.check_trio, payloads)
            nursery.start_soon(client.keep)
            try:
                yield client
            finally:
                client.close()
                nursery.cancel_scope.cancel()
