"""Replacement: a plan or schema that was kept may give way to another of the same version, once nothing needs it."""

from __future__ import annotations

from logging import getLogger

import trio

from sagakit.cluster.control_endpoint import answers
from sagakit.cluster.lease import Lease, read_leases
from sagakit.cluster.observer import RECHECK
from sagakit.engine import Loaded, decode
from sagakit.errors import Undecodable
from sagakit.store.ports import Store

_log = getLogger("sagakit.cluster")


async def need_of(store: Store, saga_type: str, version: int, *, ttl: float) -> str:
    """Return what still needs the definition of this version that is kept; empty if nothing does.

    A worker without an answer is given `ttl` seconds to renew its lease. Raises StoreError.
    """
    return (
        await _record(store, saga_type, version)
        or await _start(store, saga_type)
        or await _worker(store, saga_type, version, ttl)
    )


async def _record(store: Store, saga_type: str, version: int) -> str:
    """Any record counts: one that has ended is still to be archived, by the plan that it has."""
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
    before = await _leases(store, saga_type, version)
    silent = {
        worker: lease.renewal for worker, lease in before.items() if not await answers(store, worker, within=RECHECK)
    }
    if len(silent) < len(before):
        return f"the worker {min(set(before) - set(silent))} runs it"
    if not before:
        return ""
    _log.info("%s version %d has changed: waiting %g s whether %s still lives", saga_type, version, ttl, min(silent))
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
