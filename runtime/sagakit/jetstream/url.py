"""From a URL to an open store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from sagakit.errors import InvalidConfig
from sagakit.jetstream.embedded import embedded_server
from sagakit.jetstream.layout import Options
from sagakit.jetstream.link import Connection
from sagakit.jetstream.store import open_jetstream
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names
from sagakit.store.ports import Store

DEFAULT_FOLDER = ".sagakit"
"""Where `embedded:` keeps its data, under the working directory."""


@asynccontextmanager
async def open_url(
    url: str, *, names: Names, options: Options, sync: Literal["always", "relaxed"] = "always", **connection: Any
) -> AsyncIterator[Store]:
    """Open the store at `url`: `nats://`, `tls://`, `embedded:`, `embedded:///folder` or `memory:`.

    `connection` are options of `Connection`. Raises InvalidConfig, and what opening raises.
    """
    scheme = url.partition(":")[0]
    if scheme == "memory":
        async with open_memory(MemoryServer(), names=names) as memory:
            yield memory
    elif scheme == "embedded":
        folder = Path(unquote(urlsplit(url).path) or DEFAULT_FOLDER)
        async with (
            embedded_server(folder, sync=sync) as address,
            open_jetstream(Connection(servers=(address,), **connection), names=names, options=options) as store,
        ):
            yield store
    elif scheme in ("nats", "tls", "ws", "wss"):
        servers = tuple(one if "://" in one else f"{scheme}://{one}" for one in url.split(","))
        async with open_jetstream(Connection(servers=servers, **connection), names=names, options=options) as store:
            yield store
    else:
        raise InvalidConfig(
            f"cannot open {url!r}: write nats://host:port (several with commas), tls://..., embedded: or memory:"
        )
