"""Handing over what a worker leaves: first the sagas without an attempt that runs, at the end the others."""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger

from sagakit.cluster.lease import OwnLease
from sagakit.errors import StoreError
from sagakit.store.ports import Store

_log = getLogger("sagakit.cluster")

BUSY_BYTES = 256 * 1024
"""Bytes of the keys that a lease names at most: it must fit into one message with room to spare."""


async def release(store: Store, lease: OwnLease, saga_types: Sequence[str], busy: Sequence[str]) -> None:
    """Let others adopt all sagas of this worker but the busy ones; with too many of those, none yet."""
    if sum(map(len, busy)) > BUSY_BYTES:
        return
    try:
        await lease.release(busy)
        store.control.announce(saga_types, lease.worker_id)
    except StoreError as error:
        _log.info("sagas not released yet: %s", error)


async def hand_back(store: Store, lease: OwnLease, saga_types: Sequence[str], *, left: bool) -> None:
    """Give the lease up. Without it the others find out after the lease's ttl."""
    try:
        await lease.hand_back(left=left)
        if left:
            store.control.announce(saga_types, lease.worker_id)
    except StoreError as error:
        _log.info("lease not handed back: %s", error)
