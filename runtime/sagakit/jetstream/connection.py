"""The options of a connection: how to reach the servers and their JetStream, and what may be under way."""

from __future__ import annotations

from typing import Any

import msgspec

from sagakit.jetstream.security import Identity, Tls

API = "$JS.API"
"""The head of the subjects of the server's own JetStream."""


def api_of(domain: str | None) -> str:
    """Return the head of the API of a domain's JetStream; None: of the server's own."""
    return API if domain is None else f"$JS.{domain}.API"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a connection. Times are in seconds, `max_unacked` in messages, `max_unacked_bytes` in bytes.

    `api` heads the subjects of another JetStream: `$JS.{domain}.API` of a domain, or what an import is called.
    """

    servers: tuple[str, ...]
    name: str = "sagakit"
    identity: Identity = Identity()
    tls: Tls = Tls()
    inbox_prefix: str = "_INBOX"
    api: str = API
    connect_timeout: float = 5.0
    ack_timeout: float = 5.0
    max_unacked: int = 4096
    max_unacked_bytes: int = 32 * 2**20

    @property
    def routes(self) -> bool:
        """True if `routed` changes any subject."""
        return self.api != API

    def routed(self, subject: str) -> str:
        """Return the subject under which a message for JetStream's API, or for a bucket, reaches the wanted JetStream.

        A server maps `$JS.{domain}.API.$KV.>` to `$KV.>` in that domain; between domains `$KV.>` itself is denied.
        """
        if not self.routes:
            return subject
        if subject.startswith(f"{API}."):
            return self.api + subject[len(API) :]
        return f"{self.api}.{subject}" if subject.startswith("$KV.") else subject

    def options(self) -> dict[str, Any]:
        """Return the options that nats-py takes as they are. Raises InvalidConfig."""
        tls = {"tls": self.tls.context(), "tls_handshake_first": self.tls.first} if self.tls.wanted else {}
        return self.identity.options() | tls | {"inbox_prefix": self.inbox_prefix}
