"""The family of a saga: the saga that has started it, and so on up to the first one, and the children of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from sagakit.definition import Plan
from sagakit.engine import Record, child_id
from sagakit.errors import Undecodable, UnknownSaga
from sagakit.naming import SagaKey, decode_id

DEEPEST = 64
"""Generations that are followed, up and down."""


class Relative(msgspec.Struct, kw_only=True):
    """A saga of a family. `node` is the node of its parent that started it. `record` is None if it is not stored."""

    key: SagaKey
    node: str
    record: Record | None
    children: list[Relative] = []


class Families:
    """Finds families. `record_of` returns the record under a key, `plan_of` the plan of a record, if it is kept."""

    def __init__(
        self,
        record_of: Callable[[str], Awaitable[Record]],
        plan_of: Callable[[Record], Awaitable[Plan | None]],
    ) -> None:
        self._record_of = record_of
        self._plan_of = plan_of

    async def around(self, key: str) -> Relative:
        """Return the first saga of the family that the saga under `key` belongs to, with all that it has started.

        Raises UnknownSaga, Undecodable, StoreError.
        """
        record = await self._record_of(key)
        first = Relative(key=SagaKey(record.saga_type, record.saga_id), node="", record=record)
        for _ in range(DEEPEST):
            if first.record is None or first.record.parent is None:
                break
            parent = first.record.parent
            saga_type, _, id = parent.key.partition(".")
            found = await self._known(parent.key, parent.run)
            up = Relative(key=SagaKey(saga_type, decode_id(id)), node="", record=found)
            if found is None:  # nothing of it is kept any more but its name
                first.node = parent.node
                up.children.append(await self._with_children(first, 0))
                return up
            first = up
        return await self._with_children(first, 0)

    async def _known(self, key: str, run: str) -> Record | None:
        try:
            record = await self._record_of(key)
        except (UnknownSaga, Undecodable):
            return None
        return record if not run or record.run == run else None

    async def _with_children(self, one: Relative, depth: int) -> Relative:
        plan = None if one.record is None or depth >= DEEPEST else await self._plan_of(one.record)
        if one.record is None or plan is None:
            return one
        for node in plan.nodes:
            log = one.record.steps.get(node.name)
            if log is None or not log.calls or not node.child_type:
                continue
            for group in range(1, log.group + 1):
                key = SagaKey(node.child_type, child_id(one.record, node.name, group))
                child = Relative(key=key, node=node.name, record=await self._known(str(key), ""))
                one.children.append(await self._with_children(child, depth + 1))
        return one
