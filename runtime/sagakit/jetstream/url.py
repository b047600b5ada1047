"""The way from a URL to an open store."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sagakit.errors import InvalidConfig
from sagakit.jetstream.address import OWN, SCHEMES, connection_of
from sagakit.jetstream.connection import API, Connection
from sagakit.jetstream.embedded import embedded_server
from sagakit.jetstream.layout import StreamOptions
from sagakit.jetstream.security import Identity, Tls
from sagakit.jetstream.server_process import Sync
from sagakit.jetstream.store import open_jetstream
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names
from sagakit.store.ports import Store

DEFAULT_FOLDER = ".sagakit"
"""The folder for the data of `embedded:`, under the working directory."""

_FORMS = "nats://host:port (several with commas), tls://..., embedded: or memory:"
_FOLDERS = "embedded:folder (under the working directory), embedded:///absolute/folder or embedded: (.sagakit)"


@asynccontextmanager
async def open_url(
    url: str,
    *,
    names: Names,
    options: StreamOptions,
    sync: Sync = "always",
    shards_as_made: bool = False,
    identity: Identity | None = None,
    **connection: Any,
) -> AsyncIterator[Store]:
    """Open the store at `url`: `nats://`, `tls://`, `embedded:`, `embedded:folder`, `embedded:///folder` or `memory:`.

    `nats://host?domain=hub` names a JetStream domain. A part of the URL that would mean nothing is refused.

    Who we are may stand in the URL or in `identity`. `connection` are other options of `Connection`. For
    `shards_as_made` see `open_jetstream`. Raises InvalidConfig, and what opening raises.
    """
    if not isinstance(url, str):
        raise InvalidConfig(f"url={url!r}: write a text: {_FORMS}")
    scheme, colon, rest = url.partition(":")
    if not colon and scheme in OWN:
        raise InvalidConfig(f"url={url!r} has no colon: write {scheme}:")
    if scheme == "memory":
        if rest not in ("", "//"):
            raise InvalidConfig(
                f"url={url!r}: memory: has no name, folder or options, and keeps nothing: write memory:"
            )
        async with open_memory(MemoryServer(), names=names, state_max_bytes=options.state_max_bytes) as memory:
            yield memory
    elif scheme == "embedded":
        folder = folder_of(url)
        connection |= {"tls": Tls(), "api": API}  # a child of ours, on the loopback
        async with embedded_server(folder, sync=sync) as address:
            to = Connection(servers=(address,), **connection)
            async with open_jetstream(to, names=names, options=options, shards_as_made=shards_as_made) as store:
                yield store
    elif colon and scheme in SCHEMES:
        to = connection_of(url, identity, **connection)
        async with open_jetstream(to, names=names, options=options, shards_as_made=shards_as_made) as store:
            yield store
    else:
        raise InvalidConfig(f"cannot open {scheme + ':...' if scheme else 'an empty url'}: write {_FORMS}")


def folder_of(url: str) -> Path:
    """Return the folder that stands after `embedded:`. Raises InvalidConfig for all that would mean another one."""
    path = rest = url.partition(":")[2]
    if rest.startswith("//"):
        host, slash, below = rest[2:].partition("/")
        if host:
            raise InvalidConfig(
                f"url={url!r}: {host!r} is in the place of a host, and the data would be in /{below}: write {_FOLDERS}"
            )
        path = slash + below
    if "?" in path or "#" in path:
        raise InvalidConfig(
            f"url={url!r}: options such as sync= are arguments of open_runtime; in the name of a folder write ? as %3F "
            "and # as %23"
        )
    path = unquote(path)
    if path.startswith("~"):
        raise InvalidConfig(f"url={url!r}: ~ is not expanded: write embedded://{Path.home()}/...")
    if re.search(r"[\x00-\x1f\x7f]", path) or path != path.strip():
        raise InvalidConfig(f"url={url!r}: the folder begins or ends with a space, or holds a line break: remove it")
    if path.startswith("/") and not path.strip("/"):
        raise InvalidConfig(f"url={url!r} is the root of the file system: write {_FOLDERS}")
    return Path(path or DEFAULT_FOLDER)
