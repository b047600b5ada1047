"""Recovery: takes over what was left behind, by a dead worker or by an earlier life of this process.

A scan looks at every live key. Records that this worker owns but does not run are loaded; records of a worker that is
proven dead are adopted by compare-and-set, which decides between several adopters. What cannot be read, or whose
definition is not known here, is reported once and left alone (P11).
"""

from __future__ import annotations

import random
from logging import getLogger

import trio
from sagakit_actors import Actor, ActorDied, Context

from sagakit.cluster.lease import Observer
from sagakit.engine import ENDS, EndMarker, Loaded, decode
from sagakit.errors import Ambiguous, CannotMigrate, Conflict, Fenced, StoreError, Unavailable, Undecodable
from sagakit.store.ports import Entry, Store
from sagakit.system.origin import Stored
from sagakit.system.registry import Registry
from sagakit.system.sagas import Sagas

_log = getLogger("sagakit.recovery")

CONCURRENT = 64
"""Adoptions under way at once."""


class Recovery(Actor[None]):
    """Scans at the start, then every `interval` seconds with jitter."""

    def __init__(
        self, *, store: Store, registry: Registry, sagas: Sagas, observer: Observer, worker_id: str, interval: float
    ) -> None:
        self._store = store
        self._registry = registry
        self._sagas = sagas
        self._observer = observer
        self._worker_id = worker_id
        self._interval = interval
        self._reported: set[str] = set()
        self.adopted: int = 0

    async def run(self, ctx: Context[None]) -> None:
        """Scan now and then; a scan that meets an outage is given up, the next one comes."""
        ctx.ready()
        while True:
            try:
                await self.scan()
            except (Unavailable, Ambiguous) as error:
                _log.info("scan given up: %s", error)
            await trio.sleep(self._interval * (0.5 + random.random()))

    async def scan(self) -> None:
        """Look at every live key of the known types once, and take over what is due, in random order."""
        with self._sagas.noting_exits() as gone:
            found = await self._not_active()
        found = [item for item in found if item[0].key not in gone]  # what was seen of these was out of date
        random.shuffle(found)
        owners = {loaded.record.owner for _, loaded in found} - {self._worker_id}
        dead = await self._judge(owners)
        await self._adopt_all([item for item in found if item[1].record.owner in dead | {self._worker_id}])

    async def _not_active(self) -> list[tuple[Entry, Loaded]]:
        found: list[tuple[Entry, Loaded]] = []
        for saga_type in self._registry.types:
            async with self._store.state.entries(saga_type) as entries:
                async for entry in entries:
                    loaded = self._read(entry)
                    if loaded is not None and not self._sagas.has(entry.key):
                        found.append((entry, loaded))
        return found

    async def _judge(self, owners: set[str]) -> set[str]:
        dead: set[str] = set()

        async def judge(owner: str) -> None:
            if await self._observer.is_dead(owner):
                _log.info("worker %s is dead: adopting its sagas", owner)
                dead.add(owner)

        async with trio.open_nursery() as nursery:
            for owner in owners:
                nursery.start_soon(judge, owner)
        return dead

    async def _adopt_all(self, found: list[tuple[Entry, Loaded]]) -> None:
        limit = trio.CapacityLimiter(CONCURRENT)

        async def adopt(entry: Entry, loaded: Loaded) -> None:
            async with limit:
                await self._adopt(entry, loaded)

        async with trio.open_nursery() as nursery:
            for entry, loaded in found:
                nursery.start_soon(adopt, entry, loaded)

    async def _adopt(self, entry: Entry, loaded: Loaded) -> None:
        record = loaded.record
        binding = self._registry.of_record(record)
        if binding is None and record.status not in ENDS and (heir := self._registry.heir_of(record)) is not None:
            try:
                loaded = Loaded(heir.migrate(record), loaded.unknown)
            except CannotMigrate as error:
                self._report(entry.key, f"cannot be moved to version {heir.plan.version}: {error}: left alone")
                return
            binding = heir
        if binding is None:
            self._report(
                entry.key,
                f"{record.saga_type} version {record.definition_version} with plan {record.plan_digest} is not known "
                "to this worker: left alone",
            )
            return
        try:
            if await self._sagas.begin(entry.key, binding, Stored(loaded, entry.revision)) is not None:
                self.adopted += 1
        except (Fenced, Conflict):
            _log.debug("%s: another worker was faster", entry.key)
        except (StoreError, ActorDied) as error:
            _log.warning("%s: not adopted: %s", entry.key, error)

    def _read(self, entry: Entry) -> Loaded | None:
        try:
            found = decode(entry.key, entry.value)
        except Undecodable as error:
            self._report(entry.key, str(error))
            return None
        return None if isinstance(found, EndMarker) else found

    def _report(self, key: str, text: str) -> None:
        if key not in self._reported:
            self._reported.add(key)
            _log.error("%s", text)
