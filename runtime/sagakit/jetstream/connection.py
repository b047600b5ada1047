"""How to reach the servers, and what a connection may have under way."""

from __future__ import annotations

from typing import Any

import msgspec

from sagakit.jetstream.security import Identity, Tls


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the servers. Times in seconds; `window` in messages, `window_bytes` in bytes."""

    servers: tuple[str, ...]
    name: str = "sagakit"
    identity: Identity = Identity()
    tls: Tls = Tls()
    inbox_prefix: str = "_INBOX"
    connect_timeout: float = 5.0
    ack_timeout: float = 5.0
    window: int = 4096
    window_bytes: int = 32 * 2**20

    def options(self) -> dict[str, Any]:
        """Those that nats-py takes as they are. Raises InvalidConfig."""
        tls = {"tls": self.tls.context(), "tls_handshake_first": self.tls.first} if self.tls.wanted else {}
        return self.identity.options() | tls | {"inbox_prefix": self.inbox_prefix}
