"""The monitoring port of a nats-server: the settings that no client may ask for over NATS."""

from __future__ import annotations

from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import msgspec

from sagakit.errors import UNREADABLE

ANSWERS_WITHIN = 5.0
"""Seconds that the port gets to answer."""
NANOSECONDS = 10**9


class JetStreamSettings(msgspec.Struct):
    """The settings of JetStream; `sync_interval` is in nanoseconds."""

    sync_interval: int = 0
    sync_always: bool = False


class _JetStream(msgspec.Struct):
    config: JetStreamSettings = msgspec.field(default_factory=JetStreamSettings)


class _Varz(msgspec.Struct):
    version: str = ""
    server_name: str = ""
    jetstream: _JetStream = msgspec.field(default_factory=_JetStream)


class Monitored(msgspec.Struct, frozen=True):
    """The answer of a monitoring port. `sync_interval` is in seconds; 0 means before each acknowledgment."""

    server: str
    version: str
    sync_interval: float


def read_monitoring(url: str) -> Monitored | str:
    """Ask the monitoring port at `http://host:port`. Return its answer, or why there is none. Blocks for seconds."""
    if urlsplit(url).scheme not in ("http", "https"):
        return f"{url!r} is not the address of a monitoring port: write http://host:8222"
    try:
        with urlopen(Request(f"{url.rstrip('/')}/varz"), timeout=ANSWERS_WITHIN) as answer:
            found = msgspec.json.decode(answer.read(), type=_Varz)
    except HTTPError as error:
        error.close()
        return f"{url} does not answer: {error}"
    except (URLError, OSError, ValueError) as error:
        return f"{url} does not answer: {error}"
    except UNREADABLE as error:
        return f"{url} is not the monitoring port of a nats-server: {error}"
    settings = found.jetstream.config
    seconds = 0.0 if settings.sync_always else settings.sync_interval / NANOSECONDS
    return Monitored(found.server_name, found.version, seconds)
