"""The census: how many sagas a worker has, by type and status, active and passivated together.

A saga is counted by its last durable record, from the moment that this worker has written or read one which names it as
the owner, until the saga leaves the worker.
"""

from __future__ import annotations

from collections import defaultdict

from sagakit.engine import SagaStatus


class Census:
    """The numbers of one worker's sagas. For tasks of the trio thread; `counts` for any thread."""

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, SagaStatus], int] = defaultdict(int)

    def moved(self, saga_type: str, before: SagaStatus | None, after: SagaStatus | None) -> None:
        """Note that a saga has another status. `before` is None for a saga that is new here, `after` if it leaves."""
        if before is not None:
            self._counts[saga_type, before] -= 1
        if after is not None:
            self._counts[saga_type, after] += 1

    def by_type(self) -> dict[str, dict[str, int]]:
        """Return the numbers by type, and then by status, without those that are 0."""
        found: dict[str, dict[str, int]] = {}
        for (saga_type, status), number in self._counts.items():
            if number:
                found.setdefault(saga_type, {})[status] = number
        return found

    def counts(self) -> dict[tuple[str, SagaStatus], int]:
        """Return the numbers by type and status. A pair that once had sagas stays, with 0."""
        return self._counts.copy()
