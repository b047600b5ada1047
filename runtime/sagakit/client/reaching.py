"""The way to a running server: the connection of a client, and the check that the server can be used."""

from __future__ import annotations

from sagakit.errors import Ambiguous, InvalidConfig, Unavailable
from sagakit.jetstream.address import SCHEMES, connection_of, is_private, scheme_of
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.server_check import check_server, names_there
from sagakit.store.names import Names
from sagakit.store.ports import Wire
from sagakit.system.config import Config
from sagakit.system.connection_options import connection_options

AGAIN = 0.1
"""Seconds until a server is asked again that did not answer."""


def client_connection(url: str, config: Config) -> Connection:
    """Return the connection of a client. Raises InvalidConfig."""
    scheme = scheme_of(url)
    if is_private(url):
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
