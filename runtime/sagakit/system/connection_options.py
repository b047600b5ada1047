"""The part of a `Config` that says how to reach the server, as the options of a `Connection`."""

from __future__ import annotations

from typing import Any

from sagakit.jetstream.connection import api_of
from sagakit.jetstream.security import Identity, Tls
from sagakit.system.config import Config


def connection_options(config: Config) -> dict[str, Any]:
    """Return options of `open_url` and of `connection_of`, for workers and clients alike."""
    return {
        "identity": Identity(
            user=config.user,
            password=config.password,
            token=config.token,
            credentials=config.credentials,
            nkeys_seed=config.nkeys_seed,
        ),
        "tls": Tls(ca=config.tls_ca, cert=config.tls_cert, key=config.tls_key, first=config.tls_first),
        "inbox_prefix": config.inbox_prefix,
        "api": config.api_prefix or api_of(config.domain),
        "connect_timeout": config.connect_timeout,
        "ack_timeout": config.ack_timeout,
    }
