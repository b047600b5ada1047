"""The way from the URL of a server to the options of a connection. Nothing here opens anything, or imports trio."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from sagakit.errors import InvalidConfig
from sagakit.extras import EXTRAS, command_for, missing_of
from sagakit.jetstream.connection import API, Connection, api_of
from sagakit.jetstream.security import Identity, merged, servers_of
from sagakit.naming import check_name

SCHEMES = ("nats", "tls", "ws", "wss")
"""The schemes of URLs that lead to a server which runs already."""
WEBSOCKET = ("ws", "wss")
"""The schemes of URLs that lead there over WebSocket."""
OWN = ("embedded", "memory")
"""The schemes of stores that the program which opens them has for itself."""


def scheme_of(url: object) -> str:
    """Return the scheme of a URL that nobody has checked yet; an empty text for what is no text at all."""
    return url.partition(":")[0] if isinstance(url, str) else ""


def is_private(url: object) -> bool:
    """Return True if no other process can reach the store at `url`, which nobody has checked yet."""
    return scheme_of(url) == "memory"


def connection_of(url: str, identity: Identity | None, **options: Any) -> Connection:
    """Return the connection to the servers of a URL whose scheme is one of SCHEMES. Raises InvalidConfig.

    `nats://host?domain=hub` names a JetStream domain. A part of the URL that would mean nothing is refused.
    """
    if scheme_of(url) in WEBSOCKET and missing_of(EXTRAS["websocket"]):
        raise InvalidConfig(f"{scheme_of(url)}:// URLs need aiohttp: {command_for('websocket')}")
    options |= _of_query(url, options.get("api", API))  # first: in its place the end of a password may be
    servers, of_url = servers_of(url.partition("?")[0])
    return Connection(servers=servers, identity=merged(of_url, identity or Identity()), **options)


def _of_query(url: str, api: str) -> dict[str, str]:
    """Return what the URL's query says of the connection. Raises InvalidConfig."""
    text = url.partition("?")[2]
    pairs = parse_qsl(text, keep_blank_values=True)
    query = dict(pairs)
    domain = query.pop("domain", None)
    if "@" in text:  # a ? in a password begins a query
        raise InvalidConfig(
            "the URL's query, not shown for its credentials, may have domain=..., and nothing else: in a user or "
            "password, write ? as %3F and # as %23"
        )
    if query:
        raise InvalidConfig(f"the URL's query has {', '.join(query)}: it may have domain=..., and nothing else")
    if len(pairs) > 1:
        raise InvalidConfig("the URL says domain= more than once: take the others out")
    if domain is None:
        return {}
    if api not in (API, api_of(domain)):
        raise InvalidConfig(f"the URL says domain={domain}, the options say otherwise: take one of them out")
    return {"api": api_of(check_name(domain, what="domain"))}
