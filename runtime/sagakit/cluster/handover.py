"""The handover of a leaving worker: at first the sagas without a running attempt, at the end its lease and the rest."""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger

from sagakit.cluster.lease import OwnLease
from sagakit.errors import StoreError
from sagakit.store.ports import Store

_log = getLogger("sagakit.cluster")

BUSY_BYTES = 256 * 1024
"""Bytes of the keys that a lease names, at most: a lease must fit into one message with room to spare."""


async def release(store: Store, lease: OwnLease, saga_types: Sequence[str], busy: Sequence[str]) -> None:
    """Let other workers adopt all sagas of this worker except the busy ones.

    Do nothing while the keys of the busy ones are too many for a lease. A failure is logged, and the next call tries
    again.
    """
    if sum(map(len, busy)) > BUSY_BYTES:
        return  # a list that is cut off would give away sagas whose attempts run here
    try:
        await lease.release(busy)
        store.control.announce(saga_types, lease.worker_id)
    except StoreError as error:
        _log.info("sagas not released yet: %s", error)


async def hand_back(store: Store, lease: OwnLease, saga_types: Sequence[str], *, left: bool) -> None:
    """Give the lease up; `left` says that it still covers sagas, which other workers are to adopt at once.

    A failure is logged: the other workers then find out by themselves that the worker is gone.
    """
    try:
        await lease.hand_back(left=left)
        if left:
            store.control.announce(saga_types, lease.worker_id)
    except StoreError as error:
        _log.info("lease not handed back: %s", error)
