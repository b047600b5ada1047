"""From a URL to an open store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sagakit.errors import InvalidConfig
from sagakit.jetstream.connection import API, Connection, api_of
from sagakit.jetstream.embedded import embedded_server
from sagakit.jetstream.layout import Options
from sagakit.jetstream.security import Identity, Tls, merged, servers_of
from sagakit.jetstream.server_process import Sync
from sagakit.jetstream.store import open_jetstream
from sagakit.naming import check_name
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names
from sagakit.store.ports import Store

DEFAULT_FOLDER = ".sagakit"
"""Where `embedded:` keeps its data, under the working directory."""

_FORMS = "nats://host:port (several with commas), tls://..., embedded: or memory:"


@asynccontextmanager
async def open_url(
    url: str,
    *,
    names: Names,
    options: Options,
    sync: Sync = "always",
    identity: Identity | None = None,
    **connection: Any,
) -> AsyncIterator[Store]:
    """Open the store at `url`: `nats://`, `tls://`, `embedded:`, `embedded:///folder` or `memory:`.

    `nats://host?domain=hub` names a JetStream domain.

    Who we are may stand in the URL or in `identity`. `connection` are other options of `Connection`. Raises
    InvalidConfig, and what opening raises.
    """
    if not isinstance(url, str):
        raise InvalidConfig(f"url={url!r}: write a text: {_FORMS}")
    scheme = url.partition(":")[0]
    if scheme == "memory":
        async with open_memory(MemoryServer(), names=names, state_max_bytes=options.state_max_bytes) as memory:
            yield memory
    elif scheme == "embedded":
        folder = Path(unquote(urlsplit(url).path) or DEFAULT_FOLDER)
        connection |= {"tls": Tls(), "api": API}  # a child of ours, on the loopback
        async with (
            embedded_server(folder, sync=sync) as address,
            open_jetstream(Connection(servers=(address,), **connection), names=names, options=options) as store,
        ):
            yield store
    elif scheme in ("nats", "tls", "ws", "wss"):
        servers, of_url = servers_of(url.partition("?")[0])
        connection |= _of_query(url, connection.get("api", API))
        to = Connection(servers=servers, identity=merged(of_url, identity or Identity()), **connection)
        async with open_jetstream(to, names=names, options=options) as store:
            yield store
    else:
        raise InvalidConfig(f"cannot open {scheme + ':...' if scheme else 'an empty url'}: write {_FORMS}")


def _of_query(url: str, api: str) -> dict[str, str]:
    """Return what the URL's query says of the connection. Raises InvalidConfig."""
    query = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    domain = query.pop("domain", None)
    if query:
        raise InvalidConfig(f"the URL's query has {', '.join(query)}: it may have domain=..., and nothing else")
    if domain is None:
        return {}
    if api not in (API, api_of(domain)):
        raise InvalidConfig(f"the URL says domain={domain}, the options say otherwise: take one of them out")
    return {"api": api_of(check_name(domain, what="domain"))}
