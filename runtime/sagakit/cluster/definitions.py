"""Plans and schemas are kept in the meta bucket, by type, version and digest, so that each deployment is compared with
those before it.

Workers with old and new code run side by side, and a record is read by either: a change that one of them could not read
is refused before the worker runs anything.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from logging import getLogger
from typing import TypeVar

import msgspec

from sagakit.cluster.plans import check_plan
from sagakit.cluster.schemas import check_schema
from sagakit.definition import Plan, SagaSchema
from sagakit.errors import UNREADABLE, Conflict, TooLarge
from sagakit.store.ports import Store
from sagakit.system.persistence import through_outage
from sagakit.system.registry import Registry

_log = getLogger("sagakit.cluster")

T = TypeVar("T")


async def keep_definitions(store: Store, registry: Registry) -> None:
    """Keep plan and schema of each definition known here; waits through an outage.

    Raises PlanChanged or SchemaChanged if one of them does not go with what is kept; then nothing is.
    """
    plans = await through_outage(store, partial(_kept, store, "plan", Plan))
    schemas = await kept_schemas(store)
    for binding in registry.bindings:
        check_plan(binding.plan, plans)
        check_schema(binding.schema, schemas)
    for binding in registry.bindings:
        plan = binding.plan
        await _keep(store, f"plan.{plan.saga_type}.{plan.version}.{plan.digest}", plan)
        await _keep(store, f"schema.{plan.saga_type}.{plan.version}.{binding.schema_digest}", binding.schema)


async def kept_schemas(store: Store) -> list[SagaSchema]:
    """All schemas that are kept; waits through an outage."""
    return await through_outage(store, partial(_kept, store, "schema", SagaSchema))


async def _kept(store: Store, prefix: str, type: type[T]) -> list[T]:
    found: list[T] = []
    async with store.meta.entries(prefix) as entries:
        async for entry in entries:
            with suppress(*UNREADABLE):  # kept by a newer sagakit, of which this one need not know all
                found.append(msgspec.json.decode(entry.value, type=type))
    return found


async def _keep(store: Store, key: str, value: object) -> None:
    try:
        await through_outage(store, partial(store.meta.create, key, msgspec.json.encode(value)))
    except Conflict:  # it is there already
        pass
    except TooLarge as error:
        _log.warning("%s is not kept, so that a change of it will not be noticed: %s", key, error)
