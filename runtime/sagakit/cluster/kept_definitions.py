"""The plans and schemas that earlier deployments ran, kept in the meta bucket by type, version and digest.

Workers with old and new code run side by side, and either may read a record. So each worker compares its definitions
with those that are kept, and refuses a change that one of the two could not read before it runs anything.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from logging import getLogger
from typing import TypeVar

import msgspec

from sagakit.binding.registry import Registry
from sagakit.binding.saga_binding import SagaBinding
from sagakit.cluster.plans import check_plan
from sagakit.cluster.replacing import need_of
from sagakit.cluster.schema_check import check_schema
from sagakit.definition import Plan, SagaSchema
from sagakit.errors import UNREADABLE, Conflict, PlanChanged, SchemaChanged, TooLarge
from sagakit.store.ports import Store
from sagakit.system.io.persistence import through_outage

_log = getLogger("sagakit.cluster")

T = TypeVar("T")

WAYS_OUT = (
    "For a trial there are two more ways: delete the folder of `embedded:` (`.sagakit` in the working directory unless "
    "the URL names another), or run on `memory:`."
)


async def keep_definitions(store: Store, registry: Registry, *, ttl: float) -> None:
    """Keep the plan and the schema of each definition of this worker. Waits through an outage.

    A definition that is incompatible with a kept one replaces it, if nothing needs the kept one any more: see
    `need_of`, which may wait `ttl` seconds to find that out. Otherwise raises PlanChanged or SchemaChanged, and keeps
    nothing. Raises StoreError.
    """
    plans = await through_outage(store, partial(_kept, store, "plan", Plan))
    schemas = await kept_schemas(store)
    changed: list[tuple[SagaBinding, PlanChanged | SchemaChanged]] = []
    for binding in registry.bindings:
        try:
            check_plan(binding.plan, plans)
            check_schema(binding.schema, schemas)
        except (PlanChanged, SchemaChanged) as found:
            await _check_unneeded(store, binding, found, ttl=ttl)
            changed.append((binding, found))
    # write first, then look once more (in `_replace`): of two workers that deploy different plans at the same time, at
    # least one sees what the other has written, here or in `confirm_definitions`
    for binding in registry.bindings:
        for key, value in _keys(binding).items():
            await _keep(store, key, value)
    for binding, error in changed:
        await _replace(store, binding, error, ttl=ttl)


async def confirm_definitions(store: Store, registry: Registry) -> None:
    """Compare the plans again, once the lease is taken. Waits through an outage. Raises PlanChanged, StoreError.

    Another worker may have replaced a plan before it could see this worker's lease. That worker writes its plan first
    and reads the leases then; this one writes its lease first and reads the plans then. So at least one of the two sees
    the other.
    """
    plans = await through_outage(store, partial(_kept, store, "plan", Plan))
    for binding in registry.bindings:
        check_plan(binding.plan, plans)


def _keys(binding: SagaBinding) -> dict[str, object]:
    plan = binding.plan
    version = f"{plan.saga_type}.{plan.version}"
    return {
        f"plan.{version}.{plan.digest}": plan,
        f"schema.{version}.{binding.schema_digest}": binding.schema,
    }


async def _check_unneeded(
    store: Store, binding: SagaBinding, error: PlanChanged | SchemaChanged, *, ttl: float
) -> None:
    plan = binding.plan
    need = await through_outage(store, partial(need_of, store, plan.saga_type, plan.version, ttl=ttl))
    if need:
        error.args = (f"{error.args[0]} What is kept cannot be replaced: {need}. {WAYS_OUT}",)
        raise error


async def _replace(store: Store, binding: SagaBinding, error: PlanChanged | SchemaChanged, *, ttl: float) -> None:
    """Remove the other plans and schemas of this version.

    If something needs one of them by now, delete this worker's own instead, and raise the error.
    """
    mine, plan = _keys(binding), binding.plan
    try:
        await _check_unneeded(store, binding, error, ttl=ttl)
    except (PlanChanged, SchemaChanged):
        for key in mine:
            await through_outage(store, partial(store.meta.delete, key))
        raise
    for kind in ("plan", "schema"):
        for key in await through_outage(store, partial(store.meta.keys, kind)):
            if key.startswith(f"{kind}.{plan.saga_type}.{plan.version}.") and key not in mine:
                await through_outage(store, partial(store.meta.delete, key))
    _log.info("%s version %d has changed, and nothing needed what was kept: replaced", plan.saga_type, plan.version)


async def kept_schemas(store: Store) -> list[SagaSchema]:
    """Return all schemas that are kept. Waits through an outage. Raises StoreError."""
    return await through_outage(store, partial(_kept, store, "schema", SagaSchema))


async def _kept(store: Store, prefix: str, type: type[T]) -> list[T]:
    found: list[T] = []
    async with store.meta.entries(prefix) as entries:
        async for entry in entries:
            with suppress(*UNREADABLE):  # kept by a newer sagakit: its workers compare with it, this one cannot
                found.append(msgspec.json.decode(entry.value, type=type))
    return found


async def _keep(store: Store, key: str, value: object) -> None:
    data = msgspec.json.encode(value)
    try:
        await through_outage(store, partial(store.meta.create, key, data))
    except Conflict:  # it is there already; or its deletion is, which a create does not replace
        if await through_outage(store, partial(store.meta.get, key)) is None:
            await through_outage(store, partial(store.meta.put, key, data))
    except TooLarge as error:
        _log.warning("%s is not kept, so that a change of it will not be noticed: %s", key, error)
