"""The quotas that the calls of one worker share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

import trio

from sagakit.definition import Limit
from sagakit.errors import DefinitionError


class Limiter:
    """A quota. A call waits for a place, then for its turn by `per_second`."""

    def __init__(self, limit: Limit) -> None:
        self._places = None if limit.max_concurrent is None else trio.Semaphore(limit.max_concurrent)
        self._interval = 0.0 if limit.per_second is None else 1 / limit.per_second
        self._next = 0.0
        self._line = trio.Lock()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place during the call. Waits, first come first served; a cancelled wait takes nothing."""
        async with self._places or nullcontext():
            if self._interval:
                async with self._line:
                    at = max(trio.current_time(), self._next)
                    await trio.sleep_until(at)
                    self._next = at + self._interval
            yield


_NONE: AbstractAsyncContextManager[None] = nullcontext()


class Limiters:
    """The quotas of one worker, by name. Raises DefinitionError if one name has two different limits."""

    def __init__(self, limits: Iterable[Limit] = ()) -> None:
        self._limits: dict[str, Limit] = {}
        for limit in limits:
            if self._limits.setdefault(limit.name, limit) != limit:
                raise DefinitionError(
                    f"two limits have the name {limit.name!r}: {self._limits[limit.name]} and {limit}: rename one"
                )
        self._limiters = {name: Limiter(limit) for name, limit in self._limits.items()}

    def of(self, limit: Limit | None) -> AbstractAsyncContextManager[None]:
        """Return the place to hold during a call under this limit."""
        return _NONE if limit is None else self._limiters[limit.name].place()
