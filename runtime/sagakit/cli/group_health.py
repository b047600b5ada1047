"""The health of several worker processes together, as the endpoint of their parent tells it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from sagakit.cli.health import DRAINING, Health, YieldedFamilies, process_registry
from sagakit.cli.joined_metrics import joined
from sagakit.cli.kept_process import KeptProcess


class GroupHealth:
    """The health of all processes. It asks each of them."""

    def __init__(self, processes: Sequence[KeptProcess]) -> None:
        self._processes = processes
        self._of_parent = process_registry()
        self.draining: bool = False
        """True once the processes drain."""

    async def why_not_live(self) -> str | None:
        """Return which processes have a loop that does not turn; None if all turn, or are about to start."""
        return _told(await self._of_each(lambda process: process.why_not_live()))

    async def why_not_ready(self) -> str | None:
        """Return which processes take no sagas, and why; None if all take them."""
        return DRAINING if self.draining else _told(await self._of_each(lambda process: process.why_not_ready()))

    async def text(self) -> str:
        """Return the metrics of all processes and of the parent; a process that has none to give is not ready."""
        found = await self._of_each(lambda process: process.metrics())
        texts = {str(number): _not_ready() if text is None else text for number, text in found.items()}
        return joined({**texts, "parent": generate_latest(self._of_parent).decode()})

    async def _of_each(self, ask: Callable[[KeptProcess], Awaitable[str | None]]) -> Mapping[int, str | None]:
        """Return what all processes answer, by their numbers in order. They are asked side by side."""
        found: dict[int, str | None] = {process.number: None for process in self._processes}

        async def answer(process: KeptProcess) -> None:
            found[process.number] = await ask(process)

        async with trio.open_nursery() as nursery:
            for process in self._processes:
                nursery.start_soon(answer, process)
        return found


def _told(reasons: Mapping[int, str | None]) -> str | None:
    return "; ".join(f"process {number}: {why}" for number, why in reasons.items() if why is not None) or None


def _not_ready() -> str:
    registry = CollectorRegistry()
    registry.register(YieldedFamilies(Health().metrics))
    return generate_latest(registry).decode()
