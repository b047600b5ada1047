"""The configuration of the streams of our buckets. Nothing here imports trio."""

from __future__ import annotations

from typing import Any

from sagakit.store.ports import BucketOptions

IN_USE = 10058
"""The server's code for a stream of that name with another configuration."""
SECOND = 10**9


def bucket_config(name: str, options: BucketOptions) -> dict[str, Any]:
    """Return the configuration of the stream of a KV bucket as `nats kv` makes it, but for direct get and TTLs."""
    config = {
        "name": f"KV_{name}",
        "subjects": [f"$KV.{name}.>"],
        "description": options.description,
        "max_msgs_per_subject": options.history,
        "num_replicas": options.replicas,
        "storage": options.storage,
        "discard": "new",
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": False,
        "allow_msg_ttl": True,
    }
    limit = {} if options.max_bytes is None else {"max_bytes": options.max_bytes}
    return config | limit | max_age(options.ttl)


def max_age(ttl: float | None) -> dict[str, int]:
    """Return the setting by which messages are removed after `ttl` seconds; nothing for None."""
    return {} if ttl is None else {"max_age": round(ttl * SECOND)}
