"""The arguments of a user's function, read from a record."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sagakit.binding.record_values import RecordValues
from sagakit.definition import Context, Definition, Node, NodeDefinition, Saga
from sagakit.definition.plan import ITEM, item_name
from sagakit.engine import Call, Record
from sagakit.engine.record import NOTHING
from sagakit.errors import DefinitionError


class Arguments:
    """Reads what functions of one definition are called with. Each method raises UnreadableValue."""

    def __init__(self, saga: Saga[Any, Any], definition: Definition, values: RecordValues) -> None:
        self._saga = saga
        self._values = values
        self._definition = definition

    def of(self, call: Call, node: NodeDefinition, record: Record, beat: Callable[[], None] | None) -> tuple[Any, ...]:
        """Return the arguments of one call; `beat` is called by `ctx.heartbeat()`."""
        ctx = self.context(record, call, beat)
        value = self.input(record)
        _, _, number = call.step.partition(ITEM)
        item = () if not number or node.given is None else (self._given(node, record)[int(number)],)
        if call.kind == "do":
            results = item if number else [self.result(record, name) for name in node.inputs]
            return (self._saga, value, *results, ctx)
        if call.kind == "check":
            return (self._saga, value, ctx)
        nothing = record.steps[call.step].result is NOTHING
        left = None if nothing else node.result.decode(self._values.result(record, call.step))
        return (self._saga, value, *item, left, ctx)

    def input(self, record: Record) -> Any:
        """Return the saga's input."""
        return self._definition.input.decode(self._values.input(record))

    def context(self, record: Record, call: Call | None = None, beat: Callable[[], None] | None = None) -> Context:
        """Return the context of a call; without a call, that of a function without effects, which has no key."""
        key, action_key, attempt = ("", "", 0) if call is None else (call.key, call.action_key, call.attempt)
        return Context(
            saga_type=record.saga_type,
            saga_id=record.saga_id,
            run=record.run,
            epoch=record.epoch,
            results=partial(self._result_for, record),
            key=key,
            action_key=action_key,
            attempt=attempt,
            beat=beat,
        )

    def result(self, record: Record, step: str) -> Any:
        """Return a step's result; None if it was skipped. Raises DefinitionError if the step is not done."""
        log = record.steps.get(step)
        if log is None or log.state not in ("done", "skipped"):
            raise DefinitionError(f"the result of {step!r} is not known at this point: let the step come after it")
        if log.state == "skipped":
            return None
        codec = self._definition.nodes[step].result
        if self._definition.plan.by_name[step].kind == "each":
            names = (item_name(step, number) for number in range(log.items))
            return [codec.decode(self._values.result(record, name)) for name in names]
        return codec.decode(self._values.result(record, step))

    def _result_for(self, record: Record, node: object) -> Any:
        """Return the result that a function asks its context for. Raises DefinitionError, also for another saga's node.

        A node of another version of the saga counts by its name: a copy of an old class may still name the new one.
        """
        own, plan = type(self._saga), self._definition.plan
        if isinstance(node, Node) and (getattr(own, node.name, None) is node or _saga_type(node) == plan.saga_type):
            return self.result(record, node.name)
        example = f"{own.__name__}.{plan.nodes[0].name}"
        raise DefinitionError(f"ctx.result({node!r}): write a node of {own.__name__}, such as {example}")

    def _given(self, node: NodeDefinition, record: Record) -> Any:
        assert node.given is not None
        return node.given.decode(self._values.given(record, node.name))


def _saga_type(node: Node[Any]) -> str | None:
    """Return the saga type of the class in which a node was written; None for a mixin."""
    header = getattr(node.owner, "_header", None)
    return None if header is None else header.name
