"""The three ways to write a value, in terms of one."""

from __future__ import annotations

from abc import ABC, abstractmethod

from sagakit.store.ports import Write


class ConditionalWrites(ABC):
    """For adapters of the port `KeyValue`."""

    @abstractmethod
    async def _write(self, write: Write) -> int: ...

    async def put(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write whatever is there."""
        return await self._write(Write(key, value, None, ttl))

    async def create(self, key: str, value: bytes, *, ttl: float | None = None) -> int:
        """Write if nothing stands under the key, no delete marker either."""
        return await self._write(Write(key, value, 0, ttl))

    async def update(self, key: str, value: bytes, *, revision: int, ttl: float | None = None) -> int:
        """Replace exactly `revision`."""
        return await self._write(Write(key, value, revision, ttl))
