"""`open_client` for trio programs, and the parts of opening that asyncio programs share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Unpack

from sagakit.client.bare_errors import bare_errors
from sagakit.client.client import Client
from sagakit.client.misuse import opened
from sagakit.errors import Ambiguous, InvalidConfig, Unavailable
from sagakit.jetstream.address import SCHEMES, connection_of
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.server_check import check_server, names_there
from sagakit.jetstream.whereabouts import Home, check_trio
from sagakit.store.names import Names
from sagakit.store.ports import Wire
from sagakit.system.config import Config
from sagakit.system.connection_options import connection_options
from sagakit.system.given_options import ConnectionOptions

AGAIN = 0.1
"""Seconds until a server is asked again that did not answer."""


class ClientOptions(ConnectionOptions, total=False):
    """Options of `open_client`; `Config` has their bounds and defaults. Times are seconds."""

    connect_timeout: float
    """Seconds until opening gives up on the server."""
    ack_timeout: float
    """Seconds after which a missing acknowledgment is ambiguous."""
    lease_ttl: float
    """Seconds without renewal after which a worker counts as dead: the option of the workers."""


def client_config(options: ClientOptions) -> Config:
    """Return the options of a client. Raises InvalidConfig, also for options of a worker."""
    unknown = sorted(set(options) - set(ClientOptions.__annotations__))
    if unknown:
        raise InvalidConfig(
            f"{unknown[0]} is not an option of a client; there are: {', '.join(ClientOptions.__annotations__)}"
        )
    return Config.of(dict(options))


def client_connection(url: str, config: Config) -> Connection:
    """Return the connection of a client. Raises InvalidConfig."""
    scheme = url.partition(":")[0] if isinstance(url, str) else ""
    if scheme == "memory":
        raise InvalidConfig(
            "a client cannot reach memory: the sagas of a memory: runtime are in that process alone. Use the runtime "
            "itself, which has the same methods, or a server: nats://host:port"
        )
    if scheme == "embedded":
        raise InvalidConfig(
            "a client starts no server: the server of embedded: belongs to the program that runs the sagas. Use that "
            "program's runtime, which has the same methods, or run both with a server: nats://host:port"
        )
    if scheme not in SCHEMES:
        raise InvalidConfig(
            f"cannot open {scheme + ':...' if scheme else repr(url)}: write nats://host:port, or tls://..."
        )
    return connection_of(url, name="sagakit client", **connection_options(config))


async def usable_names(wire: Wire, version: str, config: Config) -> Names:
    """Return the names on the wire, once the server and its buckets have been found usable. `version` is the server's.

    Waits up to `connect_timeout` for streams that have no leader yet. Raises JetStreamOff, ServerTooOld,
    PayloadTooSmall, LayoutMissing, BadLayout, BadBucket, StoreError.
    """
    give_up = wire.now() + config.connect_timeout
    while True:
        try:
            await check_server(wire, version)
            return await names_there(wire, config.namespace)
        except (Unavailable, Ambiguous):
            if wire.now() > give_up:
                raise
            await wire.sleep(AGAIN)


async def client_on(wire: Wire, version: str, config: Config, check: Callable[[], None]) -> Client:
    """Return a client on a connection. Raises the errors of `usable_names`."""
    names = await usable_names(wire, version, config)
    return Client(wire, names, lease_ttl=config.lease_ttl, check=check)


@opened("client")
async def open_client(url: str, **options: Unpack[ClientOptions]) -> AsyncIterator[Client]:
    """Open a client in this trio program: it starts, sees and helps the sagas of workers anywhere, and runs none.

        async with sagakit.open_client("nats://localhost") as client:
            outcome = await client.execute(PlaceOrder, "order-7", order)

    `url` is `nats://...` or `tls://...`. The account needs the permissions of the role `client`, and those of `reader`
    to look only. Asyncio programs use `sagakit.asyncio.open_client`.

    Raises CannotConnect, LoginRefused, NotPermitted, ServerTooOld, JetStreamOff, PayloadTooSmall, LayoutMissing,
    BadLayout, BadBucket, InvalidConfig.
    """
    import trio

    from sagakit.jetstream.connecting import open_link
    from sagakit.jetstream.link_wire import LinkWire

    check_trio("client")
    config = client_config(options)
    connection = client_connection(url, config)
    home = Home("client", trio.lowlevel.current_trio_token())
    with bare_errors():
        async with open_link(connection) as link, trio.open_nursery() as nursery:
            client = await client_on(LinkWire(link), link.server_version, config, home.check_trio)
            nursery.start_soon(client.keep)
            try:
                yield client
            finally:
                client.close()
                nursery.cancel_scope.cancel()
