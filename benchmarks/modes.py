"""How durable an acknowledged write is in a run, and whether writes share the fsync that makes it so."""

from __future__ import annotations

from typing import Literal

from sagakit.jetstream.server_process import Sync

Mode = Literal["relaxed", "always", "grouped"]
"""`relaxed`: the server's default. `always`: an fsync before each acknowledgment. `grouped`: the same server, but a
worker with `group_commit="on"`, as it is by itself with an embedded server that always syncs."""

ENOUGH = 100
"""Sagas in flight that keep a worker on a server without fsync busy: more of them only miss its caches."""
ENOUGH_FSYNC = 500
"""Sagas in flight that keep a worker on a server with fsync busy: the more there are, the more share one."""


def sync_of(mode: Mode) -> Sync:
    """Return the server's kind of sync."""
    return "relaxed" if mode == "relaxed" else "always"


def without_groups(modes: tuple[Mode, ...]) -> tuple[Sync, ...]:
    """Return the modes of a benchmark that does not compare `grouped`."""
    return tuple(mode for mode in modes if mode != "grouped")


def group_commit(mode: Mode) -> Literal["on", "off"]:
    """Return the option of the worker."""
    return "on" if mode == "grouped" else "off"


def in_flight(mode: Mode) -> int:
    """Return how many sagas in flight keep a worker busy."""
    return ENOUGH if mode == "relaxed" else ENOUGH_FSYNC
