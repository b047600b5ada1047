"""The value of a lease, as it is kept in the workers' bucket. `lease` says what it means."""

from __future__ import annotations

import msgspec

from sagakit.errors import UNREADABLE
from sagakit.naming import is_worker_id


class Lease(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A worker's value in the workers' bucket, as JSON.

    `counts` are the numbers of the sagas that the worker has, by type and status. `backlog` is for how many seconds the
    oldest event that is not in the log yet has waited. Workers of older releases have neither. `commands` are the
    numbers of the commands that wait, of all workers together, by the name of their consumer; 0 is left out.

    `definitions` are the versions that the worker knows of each type, `migrating` the versions among them that have a
    migrate(), `schemas` the digests of their schemas. `load` is the number of active sagas, `passivated` the number of
    passivated ones.

    `busy` is present while the worker is about to leave: the keys of the sagas whose attempts it lets end. The other
    workers adopt all other sagas that name it, at once. `handed_back` is True if the worker has left in good order; the
    other workers then adopt all sagas that still name it, at once.
    """

    worker: str
    name: str
    host: str
    pid: int
    definitions: dict[str, list[int]]
    migrating: dict[str, list[int]] = {}
    schemas: dict[str, list[str]] = {}
    renewal: int = 0
    load: int = 0
    passivated: int = 0
    counts: dict[str, dict[str, int]] | None = None
    backlog: float | None = None
    commands: dict[str, int] = {}
    busy: list[str] | None = None
    handed_back: bool = False


_decoder = msgspec.json.Decoder(Lease)


def lease_of(key: str, value: bytes) -> Lease | None:
    """Return the lease in a value; None for any other value, also for a lease of another worker than the key's."""
    try:
        lease = _decoder.decode(value)
    except UNREADABLE:
        return None
    return lease if lease.worker == key and is_worker_id(lease.worker) else None
