"""Notes for a description of a saga: which worker is missing that the saga, or a child of it, waits for."""

from __future__ import annotations

from sagakit.binding.registry import Registry
from sagakit.cluster.elsewhere import Elsewhere
from sagakit.cluster.stranded import Stranded
from sagakit.engine import ENDS, Record, child_id
from sagakit.engine.table import StepState
from sagakit.errors import KvError, UnknownSaga
from sagakit.store.names import SagaKey
from sagakit.system.inbound.requests import Requests

WAITS: frozenset[StepState] = frozenset({"running", "waiting", "awaiting", "undoing", "undo_waiting"})
"""States in which a node waits for its child."""


class Notes:
    """Writes the notes. For tasks of one worker's trio thread."""

    def __init__(self, registry: Registry, elsewhere: Elsewhere, stranded: Stranded, requests: Requests) -> None:
        self._registry = registry
        self._elsewhere = elsewhere
        self._stranded = stranded
        self._requests = requests

    async def on(self, record: Record) -> str:
        """Return why no worker can run the saga; empty while a worker can, or if the saga has ended.

        May take a second, since a worker that seems to be gone is asked twice.
        """
        error = None if record.status in ENDS else await self._stranded.error_of(record)
        return "" if error is None else str(error)

    async def on_steps(self, record: Record) -> dict[str, str]:
        """Return the notes on the record's steps, by name: on those that wait for a child that no worker can run.

        The result is empty for a saga whose plan is not known here. Raises StoreError.
        """
        binding = self._registry.of_record(record)
        notes: dict[str, str] = {}
        for node in () if binding is None else binding.plan.nodes:
            log = record.steps.get(node.name)
            if not node.child_type or log is None or log.state not in WAITS:
                continue
            if not await self._elsewhere.runs(node.child_type):
                notes[node.name] = f"no worker runs {node.child_type}: {node.name} waits until one does"
            else:
                notes[node.name] = await self._on_child(
                    SagaKey(node.child_type, child_id(record, node.name, log.group))
                )
        return notes

    async def _on_child(self, address: SagaKey) -> str:
        try:
            return await self.on(await self._requests.record(str(address)))
        except (UnknownSaga, KvError):  # not started yet, or not readable: its own entry in a listing says so
            return ""
