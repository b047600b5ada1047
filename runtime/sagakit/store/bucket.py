"""What every adapter of the port `KeyValue` does in the same way: three ways to write in terms of one, and scans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from sagakit.store.ports import Cursor, Entry, Write


class BucketBase(ABC):
    """For adapters of the port, which says what each method promises."""

    @abstractmethod
    async def _write(self, write: Write) -> int: ...

    @abstractmethod
    def _scan(self, prefix: str, cursor: Cursor) -> AsyncGenerator[Entry]: ...

    async def put(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write whatever is there."""
        return await self._write(Write(key, value, None, ttl))

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write if nothing stands under the key, no delete marker either."""
        return await self._write(Write(key, value, 0, ttl))

    async def update(self, key: str, value: bytes, *, revision: int, ttl: float | None = None) -> int:
        """Replace exactly `revision`."""
        return await self._write(Write(key, value, revision, ttl))

    async def keys(self, prefix: str = "") -> list[str]:
        """The keys that exist now."""
        async with self.entries(prefix) as entries:
            return [entry.key async for entry in entries]

    @asynccontextmanager
    async def entries(self, prefix: str = "", *, after: Cursor | None = None) -> AsyncIterator[AsyncIterator[Entry]]:
        """A scan; it leaves nothing behind. Raises Unavailable in the middle of an outage."""
        async with aclosing(self._scan(prefix, Cursor() if after is None else after)) as scan:
            yield scan
