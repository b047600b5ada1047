"""The needs for a kept plan or schema: what keeps it from being replaced by another one of the same version."""

from __future__ import annotations

from logging import getLogger

import trio

from sagakit.cluster.control_endpoint import answers
from sagakit.cluster.lease import read_leases
from sagakit.cluster.lease_value import Lease
from sagakit.cluster.observer import RECHECK
from sagakit.engine import Loaded, decode
from sagakit.errors import Undecodable
from sagakit.store.ports import Store

_log = getLogger("sagakit.cluster")


async def need_of(store: Store, saga_type: str, version: int, *, ttl: float) -> str:
    """Return, in words, what still needs the kept definition of this version; empty if nothing does.

    A worker that does not answer gets `ttl` seconds to renew its lease, so this may take that long. Raises StoreError.
    """
    return (
        await _record(store, saga_type, version)
        or await _start(store, saga_type)
        or await _worker(store, saga_type, version, ttl)
    )


async def _record(store: Store, saga_type: str, version: int) -> str:
    """Return the record that needs the version, in words. One that has ended counts: it is archived by its own plan."""
    async with store.state.entries(saga_type) as entries:
        async for entry in entries:
            try:
                found = decode(entry.key, entry.value)
            except Undecodable:
                return f"{entry.key} cannot be read, and may be a saga of it"
            if isinstance(found, Loaded) and found.record.definition_version == version:
                return f"the saga {entry.key} is unfinished"
    return ""


async def _start(store: Store, saga_type: str) -> str:
    return f"a start of {saga_type} waits in the inbox" if await store.inbox.any_start(saga_type) else ""


async def _worker(store: Store, saga_type: str, version: int, ttl: float) -> str:
    # a lease may be left over from a worker that was killed, so a lease alone is not a need. A worker lives if somebody
    # listens on its subject, or if it renews its lease within ttl
    before = await _leases(store, saga_type, version)
    silent = {
        worker: lease.renewal for worker, lease in before.items() if not await answers(store, worker, within=RECHECK)
    }
    if len(silent) < len(before):
        return f"the worker {min(set(before) - set(silent))} runs it"
    if not before:
        return ""
    _log.info(
        "%s version %d has changed: waiting %g s to see whether the worker %s still lives",
        saga_type,
        version,
        ttl,
        min(silent),
    )
    await trio.sleep(max(ttl, RECHECK))
    for worker, lease in (await _leases(store, saga_type, version)).items():
        if silent.get(worker) != lease.renewal or await answers(store, worker, within=RECHECK):
            return f"the worker {worker} runs it"
    return ""


async def _leases(store: Store, saga_type: str, version: int) -> dict[str, Lease]:
    return {
        lease.worker: lease
        for lease in await read_leases(store)
        if version in lease.definitions.get(saga_type, ()) and not lease.handed_back
    }
