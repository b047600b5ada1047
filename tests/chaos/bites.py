"""Short runs in which a planted bug must show: two workers, a pause longer than the lease, a kill."""

from __future__ import annotations

from tests.chaos.run import Options
from tests.chaos.schedule import Fault, Schedule

LEASE = 6.0
CAUGHT = 4
"""Least number of sagas that show the bug. The first victim is stopped in the middle of calls of twice as many: one
that is canceled meanwhile may show nothing."""
BITES: dict[str, Schedule] = {
    # a zombie that comes back finds that its sagas have moved on, and still writes
    "no-cas": Schedule([Fault("pause-worker", 0.0, LEASE + 10.0, "w1", calls=2 * CAUGHT)], []),
    # the worker that takes over calls the open attempts in no owner's name
    "no-adopt-write": Schedule(
        [Fault("kill-worker", 0.0, 4.0, "w1", calls=2 * CAUGHT), Fault("kill-worker", 2.0, 4.0, "w2")], []
    ),
}


def bite(plant: str | None, schedule: str, *, seed: int = 7) -> Options:
    """Return options for a run of about half a minute. With `plant` None the runtime has no bug, and must pass."""
    return Options(
        seed=seed,
        seconds=6.0,
        sagas=120,
        workers=2,
        participants=1,
        lease_ttl=LEASE,
        settle=20.0 if plant else 90.0,
        plant=plant,
        config={"scan_interval": 2.0},
        schedule=BITES[schedule],
    )
