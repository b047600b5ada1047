"""Bugs that are planted on purpose: the checker has to condemn a run with either of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sagakit.engine import Loaded
from sagakit.jetstream import kv
from sagakit.store.ports import Write
from sagakit.system.saga.saga_actor import SagaActor


def no_cas() -> None:
    """Every write of a record goes through, whatever stands there: a worker that lost a saga overwrites it."""
    original: Callable[[Write], bytes] = kv._headers
    _replace(kv, "_headers", lambda write: original(Write(write.key, write.value, None, write.ttl)))


def no_adopt_write() -> None:
    """Whoever takes a saga over performs what its record intends, without having written that it is the owner."""

    def take_over(self: SagaActor, loaded: Loaded, revision: int) -> None:
        self._journal.unknown = loaded.unknown
        self._journal.stands(loaded.record, revision)
        self._phase.move("durable")
        self._writes._begun()
        self._perform()

    _replace(SagaActor, "_take_over", take_over)


def _replace(owner: Any, name: str, value: Any) -> None:
    """Raises AttributeError when there is nothing of that name any more: a plant must not turn into nothing."""
    getattr(owner, name)
    setattr(owner, name, value)


PLANTS: dict[str, Callable[[], None]] = {"no-cas": no_cas, "no-adopt-write": no_adopt_write}
