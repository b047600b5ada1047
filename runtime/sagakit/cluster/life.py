"""A worker's life: its supervisor trees, from their start to the end of the drain.

See docs/architecture.md, "The shape of a worker".
"""

from __future__ import annotations

from functools import partial

import trio
from sagakit_actors import ChildSpec, Supervisor, open_system

from sagakit.cluster.handover import release
from sagakit.cluster.lease import OwnLease, WorkerLoad
from sagakit.cluster.membership import Membership
from sagakit.cluster.parts import Parts
from sagakit.cluster.prepared_commands import PreparedCommands
from sagakit.cluster.unmet import UnmetTypes
from sagakit.cluster.value_sweep import ValueSweeper
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.environment import Environment
from sagakit.system.inbound.applier import Applier
from sagakit.system.inbound.command_intake import CommandBacklog, CommandIntake
from sagakit.system.inbound.intake import Intake
from sagakit.system.io.persistence import Persistence, through_outage
from sagakit.system.io.publisher import Publisher
from sagakit.system.io.room import RoomKeeper
from sagakit.system.isolation import Isolation
from sagakit.system.timers import Timers
from sagakit.system.turns import Turns

SETTLES = 0.1
"""Seconds until the first release of a drain. By then the sagas without a running attempt have ended their actors."""
MAILBOX = 100_000
"""Number of messages that may wait for the persistence, publisher, timers or isolation actor."""


class Life:
    """Runs the actors of one worker, from their start to the end of the drain."""

    def __init__(self, parts: Parts, lease: OwnLease, commands: PreparedCommands | None = None) -> None:
        self._parts = parts
        self._commands = commands
        self.command_backlog: CommandBacklog = {} if commands is None else commands.backlog
        """Commands that wait, by type and consumer, as of the last look."""
        self._lease = lease
        self.leaving: trio.Event = trio.Event()
        """Set to make the worker leave; this begins the drain."""
        self.left: trio.Event = trio.Event()
        """Set once the drain has ended."""

    async def run(self, task_status: trio.TaskStatus[Environment]) -> None:
        """Run until `leaving` is set, then drain the worker. Raises StoreError if the store refuses the first look."""
        parts = self._parts
        sagas, adopts = parts.sagas, parts.identity.adopts
        # before anything can start: the first start must know how full the buckets are
        await through_outage(parts.store, parts.room.look)
        async with open_system(self._root()) as system:
            environment = parts.environment(system)
            sagas.open(environment)
            nobody = _supervisor()
            # three nested systems, closed from the inside: the actors that bring sagas in stop first; the lease is
            # renewed until the drain has ended; the actors that write the last records stop last
            async with open_system(self._membership() if adopts else nobody):
                async with open_system(self._takers() if adopts else nobody):
                    task_status.started(environment)
                    await self.leaving.wait()
                with trio.move_on_after(parts.config.drain_timeout) as scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._release, sagas)
                        await sagas.drain()
                        nursery.cancel_scope.cancel()
                if scope.cancelled_caught:
                    sagas.let_go()  # what still runs is cut off; the lease is handed back so that others adopt it
        self.left.set()

    async def _release(self, sagas: ActiveSagas) -> None:
        """Release the sagas that are not at work any more, again and again, while running attempts get their time.

        Run until cancelled. Each release makes all other workers read every live record, so the pauses grow.
        """
        pause = SETTLES
        while True:
            await trio.sleep(pause)
            pause = max(1.0, 2 * pause)
            await release(self._parts.store, self._lease, self._parts.registry.types, sagas.keys())

    def _load(self) -> WorkerLoad:
        parts = self._parts
        oldest = parts.unpublished.oldest()
        backlog = 0.0 if oldest is None else max(0.0, parts.runs.now() - oldest)
        commands = {name: number for (_, name), number in self.command_backlog.items() if number}
        counts = parts.sagas.census.by_type()
        return WorkerLoad(len(parts.sagas), parts.sagas.passivated, counts, round(backlog, 3), commands)

    def _died(self, worker_id: str, is_news: bool) -> None:
        """Have the sagas of a dead worker adopted here, and, if its death is news, tell the other workers of it."""
        parts = self._parts
        parts.recovery.wake()
        if is_news:
            types = parts.observer.types_of(worker_id) or parts.registry.types
            parts.store.control.announce(sorted(types), worker_id)

    def _root(self) -> Supervisor:
        parts = self._parts
        store, sagas, marker_ttl = parts.store, parts.sagas, parts.config.marker_ttl
        unpublished = parts.unpublished
        timers = partial(Timers, parts.runs.now, sagas.alarms, sagas.ring, until_set=store.clock.until_set)
        isolation = partial(Isolation, parts.gate, Turns(), sagas.others)
        return _supervisor(
            ChildSpec("persistence", lambda: Persistence(store, marker_ttl=marker_ttl), capacity=MAILBOX),
            ChildSpec("publisher", lambda: Publisher(store, unpublished), capacity=MAILBOX),
            ChildSpec("timers", timers, capacity=MAILBOX),
            ChildSpec("room", lambda: RoomKeeper(parts.room)),
            ChildSpec("isolation", isolation, capacity=MAILBOX),
            ChildSpec("sagas", lambda: sagas.supervisor),
        )

    def _membership(self) -> Supervisor:
        """Return the tree that outlives the drain: a worker whose attempts still run must go on renewing its lease."""
        parts = self._parts
        return _supervisor(
            ChildSpec(
                "membership",
                lambda: Membership(
                    store=parts.store,
                    lease=self._lease,
                    members=parts.identity.members,
                    observer=parts.observer,
                    ttl=parts.config.lease_ttl,
                    load=self._load,
                    died=self._died,
                    released=parts.recovery.wake,
                    failed=parts.identity.lease_status.failed,
                ),
                shutdown=0.0,
            )
        )

    def _takers(self) -> Supervisor:
        """Return the tree of the actors that bring sagas in."""
        parts = self._parts
        store, registry, interval = parts.store, parts.registry, parts.config.scan_interval
        applier = Applier(registry, parts.starts, parts.requests, parts.children, parts.elsewhere.can_read)
        intake = partial(
            Intake,
            store,
            applier,
            saga_types=registry.types,
            worker_id=parts.identity.worker_id,
            interval=interval,
            buried=partial(parts.tally.buried, source="inbox"),
            saw_dead_commands=parts.tally.saw_dead_commands,
        )
        sweeper = partial(ValueSweeper, store, parts.tally, worker_id=parts.identity.worker_id)
        unmet = partial(UnmetTypes, store, parts.elsewhere, registry.external_child_types, interval=interval)
        return _supervisor(
            ChildSpec("recovery", lambda: parts.recovery, shutdown=0.0),
            ChildSpec("intake", intake, shutdown=0.0),
            *([ChildSpec("commands", self._command_intake, shutdown=0.0)] if self._commands is not None else []),
            *([ChildSpec("values", sweeper, shutdown=0.0)] if parts.large_values.on else []),
            *([ChildSpec("unmet", unmet, shutdown=0.0)] if registry.external_child_types else []),
        )

    def _command_intake(self) -> CommandIntake:
        parts = self._parts
        assert self._commands is not None
        return CommandIntake(
            parts.store,
            *self._commands,
            parts.requests,
            parts.registry.payloads,
            worker_id=parts.identity.worker_id,
            archive_ttl=parts.config.archive_ttl,
            interval=parts.config.scan_interval,
            buried=partial(parts.tally.buried, source="intake"),
        )


def _supervisor(*children: ChildSpec) -> Supervisor:
    return Supervisor("one_for_one", children, intensity=10, period=60.0)
