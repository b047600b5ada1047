"""Bugs that are planted on purpose: the checker must condemn a run with any of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from sagakit.engine import Loaded
from sagakit.jetstream import kv
from sagakit.store.ports import Write
from sagakit.system.saga.saga_actor import SagaActor
from sagakit.tracing import SpanRef, saga_spans, span_ids


def no_cas() -> None:
    """Let every write of a record succeed, whatever the key has: a worker that lost a saga overwrites its record."""
    original: Callable[[Write], bytes] = kv._headers
    _replace(kv, "_headers", lambda write: original(Write(write.key, write.value, None, write.ttl)))


def no_adopt_write() -> None:
    """Let a worker that takes a saga over perform its record's effects without having written that it is the owner."""

    def take_over(self: SagaActor, loaded: Loaded, revision: int) -> None:
        self._journal.unknown = loaded.unknown
        self._journal.became_durable(loaded.record, revision)
        self._phase.move("durable")
        self._writes._begun()
        self._perform()

    _replace(SagaActor, "_take_over", take_over)


def no_keys() -> None:
    """Change no worker: the participants keep no keys. See `participant.NoKeys`."""


def span_ids_of_its_own() -> None:
    """Let each life of a worker give spans other ids."""

    def salted(original: Callable[..., SpanRef]) -> Callable[..., SpanRef]:
        def ref(*about: Any) -> SpanRef:
            found = original(*about)
            return found._replace(span_id=found.span_id ^ os.getpid())

        return ref

    _replace(saga_spans, "attempt_ref", salted(span_ids.attempt_ref))
    _replace(saga_spans, "root_ref", salted(span_ids.root_ref))


def _replace(owner: Any, name: str, value: Any) -> None:
    """Replace an attribute.

    Raises AttributeError when the name no longer exists: a plant must not silently do nothing.
    """
    getattr(owner, name)
    setattr(owner, name, value)


PLANTS: dict[str, Callable[[], None]] = {
    "no-cas": no_cas,
    "no-adopt-write": no_adopt_write,
    "no-keys": no_keys,
    "span-ids": span_ids_of_its_own,
}
