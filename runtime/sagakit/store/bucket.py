"""The part of a bucket that is the same for every store: three ways to write in terms of one, and scans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from sagakit.store.ports import Cursor, Entry, Write


class BucketBase(ABC):
    """The base of the adapters of the port `KeyValue`, which documents what each method promises."""

    @abstractmethod
    async def _write(self, write: Write) -> int: ...

    @abstractmethod
    def _scan(self, prefix: str, cursor: Cursor) -> AsyncGenerator[Entry]: ...

    async def put(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write a key, whatever it holds."""
        return await self._write(Write(key, value, None, ttl))

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write a key that holds nothing, not even a delete marker."""
        return await self._write(Write(key, value, 0, ttl))

    async def update(self, key: str, value: bytes, *, revision: int, ttl: float | None = None) -> int:
        """Replace exactly `revision`."""
        return await self._write(Write(key, value, revision, ttl))

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that exist now."""
        async with self.entries(prefix) as entries:
            return [entry.key async for entry in entries]

    @asynccontextmanager
    async def entries(self, prefix: str = "", *, after: Cursor | None = None) -> AsyncIterator[AsyncIterator[Entry]]:
        """Open a scan, which leaves nothing behind at the server. Raises Unavailable, also in the middle."""
        async with aclosing(self._scan(prefix, Cursor() if after is None else after)) as scan:
            yield scan
