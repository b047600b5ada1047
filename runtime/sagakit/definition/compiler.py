"""From a `Saga` class to its plan: everything that can be wrong with a definition is found here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import NoneType
from typing import Any, get_args, get_origin

from sagakit.definition.annotations import Signature, accepts, asked_results, show, signature_of
from sagakit.definition.model import Codec, Definition, Function, Header, NodeDefinition, Runner
from sagakit.definition.nodes import AnyStep, CheckedStep, Node, Step, Undo
from sagakit.definition.plan import NodePlan, Plan, Position, UndoPlan
from sagakit.errors import DefinitionError, InvalidName
from sagakit.naming import check_name

RESERVED = frozenset({"output", "diagram"})


def compile_saga(saga: type, header: Header, *, has_output: bool) -> Definition:
    """Compile, or raise DefinitionError. Raises NameError where an annotation cannot be resolved yet."""
    return _Compiler(saga, header, has_output=has_output).definition()


class _Compiler:
    def __init__(self, saga: type, header: Header, *, has_output: bool) -> None:
        self.saga = saga
        self.header = header
        self.has_output = has_output
        self.input_type, self.output_type = _type_arguments(saga)
        self.steps: list[AnyStep] = [value for value in vars(saga).values() if isinstance(value, Step | CheckedStep)]
        self.results: dict[str, Any] = {}

    def wrong(self, node: str, text: str) -> DefinitionError:
        return DefinitionError(f"{self.saga.__name__}.{node}: {text}")

    # ---------------------------------------------------------- the whole

    def definition(self) -> Definition:
        self._own_names()
        after = self._order()
        positions = self._positions(after)
        nodes = {step.name: self._node(step, after, positions[step.name]) for step in self.steps}
        plan = Plan(
            saga_type=self.header.name,
            version=self.header.version,
            deadline=self.header.deadline,
            has_output=self.has_output,
            input_type=show(self.input_type),
            output_type=show(self.output_type),
            nodes=tuple(
                self._plan(step, nodes[step.name], after[step.name], positions[step.name]) for step in self.steps
            ),
        )
        if self.output_type is not NoneType and not self.has_output:
            raise self.wrong("output", f"the output type is {show(self.output_type)}: write output(self, input, ctx)")
        return Definition(
            plan=plan,
            nodes=nodes,
            input=self._codec("input", self.input_type),
            output=self._codec("output", self.output_type),
        )

    def _own_names(self) -> None:
        for step in self.steps:
            try:
                check_name(step.name, what="the step")
            except InvalidName as error:
                raise self.wrong(step.name, str(error)) from None
            if step.name in RESERVED:
                raise self.wrong(step.name, "the name is taken by Saga itself: use another")

    def _order(self) -> dict[str, tuple[str, ...]]:
        """What each step comes after, directly."""
        found: dict[str, tuple[str, ...]] = {}
        for step in self.steps:
            named: list[Any] = [*step.inputs, *(step.options.after or ())]
            for node in named:
                self._must_stand_above(step, node, found)
            if named or step.options.after is not None:
                found[step.name] = tuple(dict.fromkeys(str(node.name) for node in named))
            else:
                followed = {name for names in found.values() for name in names}
                found[step.name] = tuple(name for name in found if name not in followed)
        return found

    def _must_stand_above(self, step: AnyStep, node: Any, above: dict[str, Any]) -> None:
        if not isinstance(node, Node):
            raise self.wrong(step.name, f"@step takes the steps it comes after, not {node!r}")
        if not any(node is other for other in self.steps):
            raise self.wrong(step.name, f"comes after {node.name}, which is no step of this saga")
        if node.name not in above:
            raise self.wrong(step.name, f"comes after {node.name}, which stands below it: move {node.name} up")

    def _positions(self, after: dict[str, tuple[str, ...]]) -> dict[str, Position]:
        pivots = [step.name for step in self.steps if step.options.pivot]
        if len(pivots) > 1:
            raise self.wrong(pivots[1], f"{pivots[0]} is the pivot already: a saga has at most one")
        if not pivots:
            return dict.fromkeys(after, "before")
        before = _ancestors(pivots[0], after)
        positions: dict[str, Position] = {}
        for name in after:
            if name == pivots[0]:
                positions[name] = "pivot"
            elif name in before:
                positions[name] = "before"
            elif pivots[0] in _ancestors(name, after):
                positions[name] = "after"
            else:
                raise self.wrong(
                    name,
                    f"stands neither before nor after the pivot {pivots[0]}: let {pivots[0]} come after it, "
                    f"or let it come after {pivots[0]}",
                )
        return positions

    # ------------------------------------------------------------ one node

    def _node(self, step: AnyStep, after: dict[str, tuple[str, ...]], position: Position) -> NodeDefinition:
        self._policies(step, position)
        signature = self._action(step, _ancestors(step.name, after))
        self.results[step.name] = signature.returns | None if step.options.when is not None else signature.returns
        return NodeDefinition(
            name=step.name,
            action=Function(step.fn, self._runner(step, step.fn), step.options.retry),
            check=self._check(step, signature.returns),
            undo=self._undo(step, signature.returns),
            condition=step.options.when,
            inputs=tuple(node.name for node in step.inputs),
            result=self._codec(step.name, signature.returns),
        )

    def _policies(self, step: AnyStep, position: Position) -> None:
        options = step.options
        if options.timeout.total_seconds() <= 0:
            raise self.wrong(step.name, f"timeout={options.timeout} must be positive")
        if options.on_unknown == "check" and step.checked is None:
            raise self.wrong(step.name, f'on_unknown="check" needs a check: write one with @{step.name}.check')
        if step.checked is not None and options.on_unknown != "check":
            raise self.wrong(step.name, 'has a check that nothing asks: say on_unknown="check"')
        if position == "before":
            if step.undo is None and not options.no_undo:
                raise self.wrong(
                    step.name,
                    f"has no compensation: write one with @{step.name}.compensate, or say compensate=None if there is "
                    "nothing to undo",
                )
            if step.undo is not None and options.no_undo:
                raise self.wrong(step.name, "says compensate=None and has a compensation: remove one of them")
        elif step.undo is not None:
            raise self.wrong(step.name, "has a compensation, but from the pivot on nothing is undone: remove it")
        elif options.on_unknown == "undo":
            raise self.wrong(step.name, 'on_unknown="undo", but from the pivot on nothing is undone')

    def _action(self, step: AnyStep, before: set[str]) -> Signature:
        signature = signature_of(step.fn, step.namespace, where=f"{self.saga.__name__}.{step.name}")
        wanted = ["input", *(node.name for node in step.inputs), "ctx"]
        if len(signature.parameters) != len(wanted):
            raise self.wrong(
                step.name,
                f"takes {len(signature.parameters)} parameters after self, it is called with {len(wanted)}: "
                f"{', '.join(wanted)}",
            )
        self._parameter(step.name, signature, 0, self.input_type, "the saga's input")
        for position, node in enumerate(step.inputs, 1):
            self._parameter(step.name, signature, position, self.results[node.name], f"the result of {node.name}")
        self._results_asked_for(step, before)
        return signature

    def _parameter(self, where: str, signature: Signature, position: int, given: Any, what: str) -> None:
        name, declared = signature.parameters[position]
        if not accepts(declared, given):
            raise self.wrong(where, f"its parameter {name} is {show(declared)}, but {what} is {show(given)}")

    def _results_asked_for(self, step: AnyStep, before: set[str]) -> None:
        """`ctx.result(X.step)` of a step that need not be done by then, where the source shows it."""
        own = {other.name for other in self.steps}
        for name in asked_results(step.fn) & own - before:
            raise self.wrong(step.name, f"asks for the result of {name}, which it does not come after: add it to @step")

    def _check(self, step: AnyStep, returns: Any) -> Function | None:
        if step.checked is None:
            return None
        where = f"{self.saga.__name__}: the check of {step.name}"
        signature = signature_of(step.checked.fn, step.namespace, where=where)
        if len(signature.parameters) != 2:
            raise DefinitionError(f"{where}: is called with input and ctx, it takes {len(signature.parameters)}")
        return Function(step.checked.fn, self._runner(step, step.checked.fn), step.options.retry)

    def _undo(self, step: AnyStep, returns: Any) -> Function | None:
        if step.undo is None:
            return None
        where = f"{step.name}'s compensation"
        signature = signature_of(step.undo.fn, step.namespace, where=f"{self.saga.__name__}: {where}")
        if len(signature.parameters) != 3:
            raise self.wrong(step.name, "its compensation is called with input, result and ctx after self")
        self._parameter(where, signature, 0, self.input_type, "the saga's input")
        always = isinstance(step, CheckedStep)
        self._parameter(where, signature, 1, returns if always else returns | None, f"what {step.name} may have left")
        return Function(step.undo.fn, self._runner(step, step.undo.fn), step.undo.retry)

    def _runner(self, step: AnyStep, fn: Callable[..., Any]) -> Runner:
        if not inspect.iscoroutinefunction(fn):
            return "thread"
        return step.options.backend or self.header.backend

    def _codec(self, where: str, type: Any) -> Codec:
        try:
            return Codec(type)
        except TypeError as error:
            raise self.wrong(where, f"{show(type)} cannot be kept as JSON: {error}") from None

    def _plan(self, step: AnyStep, node: NodeDefinition, after: tuple[str, ...], position: Position) -> NodePlan:
        timeout = step.options.timeout.total_seconds()
        return NodePlan(
            name=step.name,
            after=after,
            inputs=node.inputs,
            position=position,
            on_unknown=step.options.on_unknown,
            has_check=node.check is not None,
            condition=node.condition is not None,
            timeout=timeout,
            retries=step.options.retry.as_data(),
            undo=None if step.undo is None else _undo_plan(step.undo, timeout),
            result_type=show(node.result.type),
        )


def _undo_plan(undo: Undo, timeout: float) -> UndoPlan:
    own = undo.timeout.total_seconds() if undo.timeout is not None else timeout
    return UndoPlan(retries=undo.retry.as_data(), timeout=own)


def _ancestors(name: str, after: dict[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    todo = list(after[name])
    while todo:
        parent = todo.pop()
        if parent not in found:
            found.add(parent)
            todo += after[parent]
    return found


def _type_arguments(saga: type) -> tuple[Any, Any]:
    """D and T of `Saga[D, T]`."""
    for base in getattr(saga, "__orig_bases__", ()):
        origin = get_origin(base)
        if origin is not None and "_header" in getattr(origin, "__annotations__", {}):
            given: tuple[Any, ...] = get_args(base)
            output = given[1] if len(given) > 1 else None
            first: Any = next(iter(given))
            return first, NoneType if output is None or hasattr(output, "__default__") else output
    raise DefinitionError(f"{saga.__name__}: say what its input is: class {saga.__name__}(Saga[Input, Output])")
