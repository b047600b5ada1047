"""Questions to the API of JetStream about one stream, and requests that make or change one."""

from __future__ import annotations

from typing import Any

import msgspec

from sagakit.jetstream.answers import ApiError
from sagakit.jetstream.link import Link

ANSWERS_WITHIN = 2.0
"""Seconds that one question about a stream may take: without a leader nobody answers it, and it is asked again."""


class Stream(msgspec.Struct):
    """The server's answer about a stream."""

    config: dict[str, Any] = {}
    cluster: dict[str, Any] = {}
    error: ApiError | None = None


async def ask_stream(link: Link, subject: str, config: dict[str, Any] | None = None) -> Stream:
    """Ask the API about a stream, or to make or change one by a `config`. Raises StoreError."""
    payload = b"" if config is None else msgspec.json.encode(config)
    return msgspec.json.decode(await link.request(subject, payload, timeout=ANSWERS_WITHIN), type=Stream)
