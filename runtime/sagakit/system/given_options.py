"""The options of `Config` as keyword arguments, all optional, for type checkers and editors."""

from __future__ import annotations

from typing import Literal, TypedDict


class ConnectionOptions(TypedDict, total=False):
    """Options that clients and runtimes share: how to reach the server, and the namespace there."""

    namespace: str
    """Prefix of every bucket, stream and subject; empty for none."""
    user: str | None
    """User name for NATS."""
    password: str | None
    """Password for NATS."""
    token: str | None
    """Token for NATS."""
    credentials: str | None
    """Path of a NATS credentials file."""
    nkeys_seed: str | None
    """Path of an nkey seed file."""
    tls_ca: str | None
    """Path of the authorities (PEM) that the server's certificate is checked by."""
    tls_cert: str | None
    """Path of the client's own certificate (PEM)."""
    tls_key: str | None
    """Path of its key (PEM); None: in the certificate's file."""
    tls_first: bool
    """TLS before the server's greeting (`handshake_first`)."""
    inbox_prefix: str
    """Head of the subjects on which answers come."""
    domain: str | None
    """JetStream domain that the streams are in; None: the server's own."""
    api_prefix: str | None
    """Head of the JetStream API's subjects, where an import has renamed them; None: $JS.API."""


class RuntimeOptions(ConnectionOptions, total=False):
    """Options of `open_runtime`; `Config` has their bounds and defaults. Times are seconds, sizes bytes."""

    worker_name: str
    """Shown in listings; the worker id adds a random part."""
    shards: int
    """State buckets and event streams; fixed when they are made."""
    replicas: int | None
    """Copies of each bucket and stream; None: 3 on a cluster, else 1."""
    storage: Literal["file", "memory"]
    """Storage of buckets and streams on the server."""
    state_max_bytes: int | None
    """Bytes that a state bucket may hold, twice what live sagas need; None: no limit."""
    archive_ttl: float
    """Seconds that a finished saga is kept."""
    claim_above: int | None
    """Bytes of the largest value that a record holds; others are stored beside it. None: it holds all."""
    marker_ttl: float
    """Seconds that an end marker is kept under a finished key."""
    events_ttl: float | None
    """Seconds that events are kept; None: forever."""
    max_active: int
    """Sagas at work in this worker at once; `start` waits beyond it. Those that wait do not count."""
    passivate_after: float
    """Seconds that a saga waits before it gives up its actor; in a full worker it does so at once."""
    mailbox_capacity: int
    """Messages that wait for one saga at most."""
    max_threads: int
    """Plain-function steps that run at once, each in a thread."""
    max_unacked: int
    """Messages sent to the server and not yet acknowledged; a group of writes is one."""
    max_unacked_bytes: int
    """Bytes sent to the server and not yet acknowledged."""
    ack_timeout: float
    """Seconds after which a missing acknowledgment is ambiguous."""
    connect_timeout: float
    """Seconds until opening gives up on the server."""
    lease_ttl: float
    """Seconds without renewal after which a worker counts as dead."""
    scan_interval: float
    """Seconds between scans for sagas left behind."""
    stall_timeout: float
    """Seconds past its time after which a saga counts as stalled."""
    max_isolated_crashes: int
    """Deaths of its worker, while it ran alone, that one saga gets."""
    gc_threshold: int
    """Allocations between looks of Python's collector; 0: as it is."""
    drain_timeout: float
    """Seconds that running attempts get when the runtime closes."""
    max_restarts: int
    """Restarts of one saga's actor within `restart_period`."""
    restart_period: float
    """Seconds over which `max_restarts` are counted."""
    sync: Literal["always", "relaxed"]
    """Fsync of an embedded server: `always` before it acknowledges, or `relaxed`."""
    group_commit: Literal["auto", "on", "off"]
    """Many writes share an fsync, on streams with one copy; `auto`: on an embedded server that always syncs."""
