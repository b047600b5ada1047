"""What a process needs of its runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from sagakit.client.runtime import Runtime


@runtime_checkable
class Operable(Protocol):
    """A runtime, as far as whoever runs the process sees it."""

    @property
    def worker_id(self) -> str:
        """Which worker it is."""
        ...

    @property
    def ready(self) -> bool:
        """Connected, lease in force, not draining."""
        ...

    def metrics(self) -> Mapping[str, float]:
        """Counters (`..._total`) and gauges by name."""
        ...

    async def drain(self) -> None:
        """Take nothing new, let running attempts end within `grace`, release the rest, hand back the lease."""
        ...


def operable(runtime: Runtime) -> Operable:
    """`runtime` as one; until it has these methods itself, by what it has."""
    return runtime if isinstance(runtime, Operable) else _Interim(runtime)


class _Interim:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def worker_id(self) -> str:
        return self._runtime.worker_id

    @property
    def ready(self) -> bool:
        return self._runtime._store.connected

    def metrics(self) -> Mapping[str, float]:
        sagas = self._runtime._sagas
        return {"sagas_active": len(sagas.keys()), "sagas_resting": sagas.resting}

    async def drain(self) -> None:
        """Leaving the runtime's context does it."""
