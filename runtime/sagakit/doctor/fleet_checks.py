"""The checks of the fleet: leases that are old, and sagas whose owner has no lease."""

from __future__ import annotations

from sagakit.doctor.finding import Seen, bad, named, ok, span, warn
from sagakit.doctor.patient import Patient, SeenLease

LATE = 2.0
"""Times of `lease_ttl` after which a lease is old: its worker is dead or paused, and others should have taken over."""


def _alive(lease: SeenLease, patient: Patient) -> bool:
    return lease.age < LATE * patient.config.lease_ttl and not lease.lease.handed_back


async def leases(patient: Patient) -> Seen:
    """Check that workers renew their leases."""
    found = await patient.leases()
    sagas = (await patient.live_sagas()).count
    alive = [one for one in found if _alive(one, patient)]
    old = [one for one in found if not _alive(one, patient)]
    if not alive:
        text = f"no worker has a fresh lease, and {sagas:,} sagas are unfinished"
        return bad(text, 0) if sagas else warn("no worker has a fresh lease", 0)
    if old:
        names = [f"{one.lease.worker} ({span(one.age)})" for one in sorted(old, key=lambda one: -one.age)]
        return warn(f"{len(alive)} workers renew their leases, {len(old)} do not: {named(names)}", len(alive))
    return ok(f"{len(alive)} workers renew their leases", len(alive))


async def orphans(patient: Patient) -> Seen:
    """Check that each unfinished saga's owner has a lease."""
    sagas = await patient.live_sagas()
    found = await patient.leases()
    known = {one.lease.worker for one in found}
    # A worker that has just left is not in the list any more, and its sagas have new owners: they are read again.
    without = {
        owner: kept
        for owner, kept in sagas.owners.items()
        if owner not in known and await patient.owner_of(kept.keys[0]) == owner
    }
    number = sum(kept.count for kept in without.values())
    if not number:
        return ok(f"each of {sagas.count:,} unfinished sagas has an owner with a lease", 0)
    keys = [key for kept in without.values() for key in kept.keys]
    text = f"{number:,} sagas have an owner without a lease ({named(list(without))}): {named(keys)}"
    return warn(text, number) if any(_alive(one, patient) for one in found) else bad(text, number)
