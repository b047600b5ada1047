"""The waits of a client until something holds for a saga, by the hints on its record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sagakit.client.changes import Changes
from sagakit.client.fleet_view import FleetView
from sagakit.engine import Record
from sagakit.store.ports import Wire

RELOOKS = (0.002, 0.005, 0.02, 0.1, 0.5)
"""Seconds after a hint at which the record is read again if it does not show the end yet: a hint may be early."""


class RecordWaits:
    """Waits for single sagas of one client. `record` reads the last durable record under a key."""

    def __init__(
        self, wire: Wire, changes: Changes, fleet: FleetView, record: Callable[[str], Awaitable[Record]]
    ) -> None:
        self._wire = wire
        self._changes = changes
        self._fleet = fleet
        self._record = record

    async def until(self, key: str, holds: Callable[[Record], bool], *, halted: bool) -> Record:
        """Wait until something holds for a saga; with `halted` for what holds only once it has ended or is stuck."""
        async with self._changes.of(key) as change:
            while True:
                seen, hints = change.reasons(halted=halted), change.hints
                record = await self._record(key)
                if holds(record):
                    return record
                await self._fleet.check_runs(record)
                await change.until_another(seen, halted=halted)
                if change.hints != hints:
                    await self._until_shown(key, holds)

    async def _until_shown(self, key: str, holds: Callable[[Record], bool]) -> None:
        """Read until the record shows what a hint has shown, for a moment: on a cluster a hint is early."""
        for pause in RELOOKS:
            if holds(await self._record(key)):
                return
            await self._wire.sleep(pause)
