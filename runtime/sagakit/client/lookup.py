"""Single looks by key, from the leaders: records, end markers, plans."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import structs

from sagakit.client.kept_plans import KeptPlans
from sagakit.client.through_outages import through_outages
from sagakit.definition.plan import Plan
from sagakit.engine import EndMarker, Loaded, Record, decode
from sagakit.engine.value_claims import ValueClaim, claims_in, claims_in_events, filled, filled_event
from sagakit.errors import UNREADABLE, UnknownSaga
from sagakit.jetstream.wire_reading import WireReading
from sagakit.repository.listing import History
from sagakit.store.claimed_values import read_value
from sagakit.store.names import Names
from sagakit.store.ports import StoredValue, StreamReading, Wire

if TYPE_CHECKING:  # commands import this module, and do not read schemas
    from sagakit.definition import SagaSchema

T = TypeVar("T")


class Lookup:
    """Reads what is stored under single keys. Each method waits through outages."""

    def __init__(self, wire: Wire, names: Names) -> None:
        self._wire = wire
        self._names = names
        self.reading: WireReading = WireReading(wire, names)
        self._plans = KeptPlans(lambda key: self.patiently(partial(self.reading.meta.get, key)))

    async def patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run an operation that may be repeated, again and again during an outage."""
        return await through_outages(self._wire, operation)

    async def find(self, key: str) -> tuple[Record, bool]:
        """Return the record under a key, and True if it is a live one. Raises UnknownSaga, Undecodable, StoreError."""
        # in this order: a saga that is archived between the two reads is found by the second one
        for live, streams in ((True, self.reading.state), (False, self.reading.archive)):
            entry = await self._get(streams, key)
            found = None if entry is None else decode(key, entry.value)
            if isinstance(found, Loaded):
                return found.record, live
        raise UnknownSaga(
            f"no saga is stored under {key}: it was never started, its retention is over, its record was deleted, or "
            "it is in another store or namespace"
        )

    async def known(self, key: str) -> Record | EndMarker | None:
        """Return the record or end marker of an id that was started; None if it was not. Raises Undecodable."""
        # in this order: a saga that is archived between the two reads has left its end marker under the live key
        entry = await self._get(self.reading.archive, key) or await self._get(self.reading.state, key)
        found = None if entry is None else decode(key, entry.value)
        return await self.filled(key, found.record) if isinstance(found, Loaded) else found

    async def filled(self, key: str, record: Record) -> Record:
        """Return a record with its large values. Raises ValueLost, StoreError."""
        return filled(record, await self._values(key, claims_in(record)))

    async def filled_history(self, key: str, history: History) -> History:
        """Return a history with the large values of its events. Raises ValueLost, StoreError."""
        events, run = history.events, history.record.run
        values = await self._values(key, claims_in_events(events, run))
        return structs.replace(history, events=[filled_event(event, run, values) for event in events])

    async def _values(self, key: str, claims: Iterable[ValueClaim]) -> Mapping[str, bytes]:
        read = partial(read_value, self.reading.values, "saga", key)
        wanted = {claim.name: claim for claim in claims}
        return {name: await self.patiently(partial(read, claim)) for name, claim in wanted.items()}

    async def plan_of(self, record: Record) -> Plan | None:
        """Return the plan that the workers keep of the saga's version; None if it is gone or cannot be read."""
        return await self._plans.of(record)

    async def schemas(self) -> Mapping[str, SagaSchema]:
        """Return the schemas of the newest version of each type, as the workers keep them. Raises StoreError."""
        from sagakit.definition import SagaSchema

        meta = self.reading.meta
        keys = await self.patiently(partial(meta.subjects, "schema.>"))
        values = await self.patiently(partial(meta.get_each, list(keys)))
        found: dict[str, SagaSchema] = {}
        for value in sorted((one for one in values if one is not None), key=lambda one: one.sequence):
            with suppress(*UNREADABLE, KeyError):  # a newer sagakit has kept it
                schema = msgspec.json.decode(value.value, type=SagaSchema)
                saga_type, version = schema["saga"], schema["version"]
                if saga_type not in found or version >= found[saga_type]["version"]:
                    found[saga_type] = schema
        return found

    async def _get(self, streams: Sequence[StreamReading], key: str) -> StoredValue | None:
        return await self.patiently(partial(streams[self._names.shard_of(key)].get, key))
