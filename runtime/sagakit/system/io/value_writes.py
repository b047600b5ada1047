"""The writes of large values, each before the write of the record that names it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from sagakit.engine.value_claims import ValueClaim
from sagakit.errors import StoreError
from sagakit.store.claimed_values import write_value
from sagakit.store.ports import Store


async def save(store: Store, key: str, values: Sequence[tuple[ValueClaim, bytes]]) -> None:
    """Store values of a saga; durable once this returns. To repeat it is harmless. Raises StoreError."""
    for claim, value in values:
        await write_value(store.values.put, _together, "saga", key, claim, value)


async def _together(*calls: Callable[[], Awaitable[object]]) -> None:
    """Run coroutine functions at the same time. Raise one of their errors, once all have ended."""
    errors: list[StoreError] = []

    async def run(call: Callable[[], Awaitable[object]]) -> None:
        try:
            await call()
        except StoreError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        for call in calls:
            nursery.start_soon(run, call)
    if errors:
        raise errors[0]
