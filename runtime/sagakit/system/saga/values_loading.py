"""The loading of a record's large values, before its saga goes on."""

from __future__ import annotations

from sagakit.engine import Loaded
from sagakit.errors import ValueLost
from sagakit.system.claims import Claims
from sagakit.system.saga.saga_messages import ValuesLoaded
from sagakit.system.saga.slot import SagaSlot


async def load_values(claims: Claims, slot: SagaSlot, loaded: Loaded, revision: int) -> ValuesLoaded:
    """Return the large values of a record, or how they are lost. Waits through an outage."""
    try:
        return ValuesLoaded(loaded, revision, await claims.load(slot.key, loaded.record, slot.values))
    except ValueLost as error:
        return ValuesLoaded(loaded, revision, None, str(error))


def as_it_is(message: ValuesLoaded | None) -> ValuesLoaded:
    """Return the message for the actor."""
    assert message is not None, "there is no timeout"
    return message
