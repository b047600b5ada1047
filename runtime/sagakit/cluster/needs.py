"""The needs of a saga, and the workers that can meet them: pure rules, for workers and for clients."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sagakit.cluster.lease_value import Lease
from sagakit.naming import nearest

MISSING_FOR = 30.0
"""Seconds until a type that no worker has is reported as missing. To deploy a service anew takes less."""


class Need(NamedTuple):
    """The requirements of a saga: the type and version that a worker must have to run it.

    `over` is True if the saga has ended, and is not migrated to another version any more. `changed` is True if this
    version has another plan now. `barred` is a newer version whose migrate() has refused the saga; 0 if there is none.
    `delayed` is True if the saga waits for its start: any version may begin it.
    """

    saga_type: str
    version: int
    over: bool = False
    changed: bool = False
    barred: int = 0
    delayed: bool = False


class Fleet(NamedTuple):
    """The live workers, seen from one saga. `runs` is True if one of them can run it.

    `versions` are the versions of its type that they have; empty if `runs` is True, since nobody asks for them then.
    `anybody` is True if any worker lives at all, whatever it runs.
    """

    runs: bool
    versions: tuple[int, ...] = ()
    anybody: bool = True


def unserved(saga_type: str, known: Collection[str]) -> str:
    """Return the words for a start that waits because no live worker has its type. `known` are the types they have."""
    return (
        f"no live worker has the type {saga_type}: the start waits in the inbox until one comes"
        f"{nearest(saga_type, known)}"
    )


def can_run(lease: Lease, need: Need) -> bool:
    """Return True if the worker of this lease can run such a saga: under the saga's version, or by a migrate()."""
    versions = lease.definitions.get(need.saga_type, ())
    if need.delayed and versions:
        return True
    if need.version in versions:
        return not need.changed
    migrating = lease.migrating.get(need.saga_type, ())
    return not need.over and any(version > need.version and version != need.barred for version in migrating)


def advice_on(need: Need, fleet: Fleet, fault: str = "") -> str:
    """Return what to do for a saga that no worker of the fleet can run. `fault` is why a migrate() has refused it."""
    version, newer = need.version, [one for one in fleet.versions if one > need.version]
    if fault:
        return (
            f"migrate() of version {need.barred} cannot take it over: {fault}. Mend that, or run a worker of version "
            f"{version}, too, until its sagas have ended"
        )
    if need.changed:
        return (
            f"it was started under another plan than version {version} has now: take that change back and make it "
            "under the next version=, with a migrate()"
        )
    if not fleet.versions:
        return (
            f"start a worker with a class of the type {need.saga_type}; if the class was renamed, give it "
            f'name="{need.saga_type}"'
        )
    if newer and not need.over:
        return (
            f"write migrate() in version {newer[0]}, so that it takes the sagas of version {version} over, or run a "
            f"worker of version {version}, too, until they have ended"
        )
    return f"run a worker of version {version}, too, until its sagas have ended: no other version takes them over"
