"""Plans are kept in the meta bucket, by type, version and digest: what a record was started under can be read later."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import msgspec

from sagakit.errors import Conflict
from sagakit.store.ports import Store
from sagakit.system.persistence import through_outage
from sagakit.system.registry import Registry


async def write_plans(store: Store, registry: Registry) -> None:
    """Keep the plans of the definitions known here; waits through an outage."""
    for binding in registry.bindings:
        plan = binding.plan
        key = f"plan.{plan.saga_type}.{plan.version}.{plan.digest}"
        with suppress(Conflict):  # it is there already
            await through_outage(store, partial(store.meta.create, key, msgspec.json.encode(plan)))
