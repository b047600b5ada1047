"""The compiler from one node of a `Saga` class to its functions, codecs and plan."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any, get_args

from sagakit.definition.annotations import (
    Signature,
    accepts,
    asked_results,
    is_list,
    returned_by,
    show,
    signature_of,
)
from sagakit.definition.context import Context
from sagakit.definition.functions import fault_of_asked, fault_of_called
from sagakit.definition.model import Definition, Function, Header, NodeDefinition
from sagakit.definition.node_types import codec_of, may_be_a_type
from sagakit.definition.nodes import Backend, CalledForEach, CalledNode, CheckedStep, Child, Node, Signal, Timer, Undo
from sagakit.definition.options import at_least_one, instance_of, one_of, seconds
from sagakit.definition.plan import NodePlan, OnUnknown, Position, UndoPlan
from sagakit.definition.policy import FOREVER, Limit, RetryPolicy
from sagakit.definition.remote_steps import Remote, fault_of_remote
from sagakit.definition.type_arguments import Variables, substituted
from sagakit.definition.value_codec import Codec
from sagakit.errors import DefinitionError

CHILD_TIMEOUT = 30.0
"""Seconds that one attempt to start or to undo a child may take. Attempts never run out."""

Compiled = tuple[NodeDefinition, NodePlan]


class NodeCompiler:
    """Compiles the nodes of one class, in their order. Raises DefinitionError, NotKnownYet.

    `variables` has for each node the type arguments of the class that defines it; `names` are those that the class body
    sees.
    """

    def __init__(
        self,
        saga: type,
        header: Header,
        input_type: Any,
        variables: Mapping[str, Variables],
        child: Callable[[Any], Definition],
        names: Mapping[str, Any],
    ) -> None:
        self.saga = saga
        self.names = names
        self.header = header
        self.input_type = input_type
        self.variables = variables
        self.child = child
        self.results: dict[str, Any] = {}
        """The result type of each node, for the nodes after it."""

    def compile(self, node: Node[Any], after: tuple[str, ...], before: set[str], position: Position) -> Compiled:
        """Return a node's definition and plan. `before` are all nodes that it comes after, `after` those it names."""
        one_of(node.pivot, (False, True), f"{self.saga.__name__}.{node.name}: pivot")
        if node.when is not None:
            self._asked(node, "when", node.when, "input", "ctx")
        match node:
            case CalledForEach():
                definition, plan = self._each(node, before, position)
            case CalledNode():
                definition, plan = self._step(node, before, position)
            case Signal():
                definition, plan = self._signal(node)
            case Timer():
                definition, plan = self._timer(node)
            case Child():
                definition, plan = self._child(node, position)
            case Remote():
                definition, plan = self._remote(node, position)
            case _:
                raise self.wrong(node.name, f"{type(node).__name__} is not a node that sagakit knows")
        left = self.results[node.name]
        self.results[node.name] = left | None if node.when is not None else left
        definition = NodeDefinition(**definition, name=node.name, condition=node.when)
        return definition, NodePlan(
            **plan,
            name=node.name,
            after=after,
            position=position,
            condition=node.when is not None,
            prepared=definition.prepare is not None,
            result_type=show(definition.result.type),
        )

    def _asked(self, node: Node[Any], what: str, fn: Any, *given: str, may_yield: bool = False) -> None:
        fault = fault_of_asked(fn, *given, may_yield=may_yield)
        if fault is not None:
            raise self.wrong(node.name, f"{what} {fault}")

    def _codec(self, node: str, type: Any) -> Codec:
        return codec_of(self.saga, node, type, self.names)

    def _seconds(self, node: Node[Any], what: str, value: object) -> float:
        return seconds(value, f"{self.saga.__name__}.{node.name}: {what}")

    def wrong(self, node: str, text: str) -> DefinitionError:
        return DefinitionError(f"{self.saga.__name__}.{node}: {text}")

    # --------------------------------------------------------------- steps

    def _step(self, step: CalledNode[Any], before: set[str], position: Position) -> tuple[Any, Any]:
        self._policies(step, position, get_args(OnUnknown))
        given = [(node.name, self.results[node.name], f"the result of {node.name}") for node in step.inputs]
        signature = self._action(step, given, before)
        self.results[step.name] = signature.returns
        definition = {
            "action": self._function(step, step.fn, step.options.retry),
            "check": self._check(step),
            "undo": self._undo(step, [], signature.returns),
            "inputs": tuple(node.name for node in step.inputs),
            "result": self._codec(step.name, signature.returns),
        }
        return definition, self._called_plan(step, "step")

    def _each(
        self, each: CalledForEach[Any, Any, Any, Any, Any], before: set[str], position: Position
    ) -> tuple[Any, Any]:
        self._policies(each, position, ("retry", "undo"))
        at_least_one(each.max_concurrent, f"{self.saga.__name__}.{each.name}: max_concurrent")
        self._items(each)
        signature = self._action(each, [("item", Any, "an item")], before)
        item_name, item_type = signature.parameters[1]
        item = (item_name, item_type, "the item of its action")
        self.results[each.name] = Sequence[signature.returns]  # type: ignore[name-defined]  # a type known at run time only
        definition = {
            "action": self._function(each, each.fn, each.options.retry),
            "undo": self._undo(each, [item], signature.returns),
            "inputs": tuple(node.name for node in each.inputs),
            "result": self._codec(each.name, signature.returns),
            "prepare": each.items or list,
            "given": self._codec(each.name, list[item_type]),  # type: ignore[valid-type]  # as known at run time only
        }
        return definition, {**self._called_plan(each, "each"), "max_concurrent": each.max_concurrent}

    def _items(self, each: CalledForEach[Any, Any, Any, Any, Any]) -> None:
        """Check the source of an each's list: another node, a function of its result, or one of the saga's input."""
        source = each.inputs[0].name if each.inputs else ""
        items: Any = each.items
        if source and items is None:
            given, what, mend = self.results[source], source, f"say @each({source}, lambda result: result.lines)"
        else:
            arguments = ("result",) if source else ("input", "ctx")
            self._asked(each, "what computes its items", items, *arguments, may_yield=True)
            given, what, mend = returned_by(items, each.namespace), "what computes its items", "return a list"
        if not is_list(given):
            raise self.wrong(each.name, f"is called for each item of a list, but {what} gives {show(given)}: {mend}")

    def _called_plan(self, node: CalledNode[Any], kind: str) -> dict[str, Any]:
        timeout = self._seconds(node, "timeout", node.options.timeout)
        heartbeat = node.options.heartbeat_timeout
        return {
            "kind": kind,
            "inputs": tuple(other.name for other in node.inputs),
            "on_unknown": node.options.on_unknown,
            "has_check": node.checked is not None,
            "timeout": timeout,
            "heartbeat": None if heartbeat is None else self._seconds(node, "heartbeat_timeout", heartbeat),
            "retries": node.options.retry.as_data(),
            "undo": None if node.undo is None else self._undo_plan(node, node.undo, timeout),
        }

    def _undo_plan(self, node: CalledNode[Any], undo: Undo, timeout: float) -> UndoPlan:
        where = "its compensation's timeout"
        own = timeout if undo.timeout is None else self._seconds(node, where, undo.timeout)
        instance_of(undo.retry, RetryPolicy, f"{self.saga.__name__}.{node.name}: its compensation's retry")
        return UndoPlan(retries=undo.retry.as_data(), timeout=own)

    def _words(self, step: CalledNode[Any], on_unknown: Sequence[str]) -> None:
        options, where = step.options, f"{self.saga.__name__}.{step.name}"
        one_of(options.on_unknown, on_unknown, f"{where}: on_unknown")
        one_of(options.backend, (*get_args(Backend), None), f"{where}: backend")
        instance_of(options.retry, RetryPolicy, f"{where}: retry")
        if options.limit is not None:
            instance_of(options.limit, Limit, f"{where}: limit")

    def _policies(self, step: CalledNode[Any], position: Position, on_unknown: Sequence[str]) -> None:
        self._words(step, on_unknown)
        options = step.options
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

    def _action(self, step: CalledNode[Any], given: list[tuple[str, Any, str]], before: set[str]) -> Signature:
        signature = self._signature(step, step.fn, f"{self.saga.__name__}.{step.name}")
        wanted = ["input", *(name for name, _, _ in given), "ctx"]
        if len(signature.parameters) != len(wanted):
            raise self.wrong(
                step.name,
                f"takes {len(signature.parameters)} parameters after self, it is called with {len(wanted)}: "
                f"{', '.join(wanted)}",
            )
        self._parameter(step.name, signature, 0, self.input_type, "the saga's input")
        for position, (_, type, what) in enumerate(given, 1):
            self._parameter(step.name, signature, position, type, what)
        self._parameter(step.name, signature, -1, Context, "its last argument")
        self._results_asked_for(step.name, step.fn, before)
        return signature

    def _signature(self, step: CalledNode[Any], fn: Callable[..., Any], where: str) -> Signature:
        fault = fault_of_called(fn)
        if fault is not None:
            raise DefinitionError(f"{where}: {fault}")
        signature = signature_of(fn, step.namespace, where=where)
        own = self.variables[step.name]
        parameters = [(name, substituted(type, own)) for name, type in signature.parameters]
        return Signature(parameters, substituted(signature.returns, own))

    def _parameter(self, where: str, signature: Signature, position: int, given: Any, what: str) -> None:
        name, declared = signature.parameters[position]
        if not accepts(declared, given):
            raise self.wrong(where, f"its parameter {name} is {show(declared)}, but {what} is {show(given)}")

    def _results_asked_for(self, name: str, fn: Callable[..., Any], before: set[str]) -> None:
        """Raise DefinitionError for `ctx.result(X.step)` in the source if the step may not be done by then."""
        for other in asked_results(fn) & self.variables.keys() - before:
            raise self.wrong(name, f"asks for the result of {other}, which it does not come after: add it to @step")

    def _check(self, step: CalledNode[Any]) -> Function | None:
        if step.checked is None:
            return None
        where = f"{self.saga.__name__}: the check of {step.name}"
        signature = self._signature(step, step.checked.fn, where)
        if len(signature.parameters) != 2:
            raise DefinitionError(f"{where}: is called with input and ctx, it takes {len(signature.parameters)}")
        self._parameter(f"the check of {step.name}", signature, -1, Context, "its last argument")
        return self._function(step, step.checked.fn, step.options.retry)

    def _undo(self, step: CalledNode[Any], given: list[tuple[str, Any, str]], returns: Any) -> Function | None:
        if step.undo is None:
            return None
        where = f"{step.name}'s compensation"
        signature = self._signature(step, step.undo.fn, f"{self.saga.__name__}.{where}")
        if len(signature.parameters) != 3 + len(given):
            wanted = ", ".join(["input", *("item" for _ in given), "result and ctx"])
            raise self.wrong(step.name, f"its compensation is called with {wanted} after self")
        self._parameter(where, signature, 0, self.input_type, "the saga's input")
        for position, (_, type, what) in enumerate(given, 1):
            self._parameter(where, signature, position, type, what)
        left = returns if isinstance(step, CheckedStep) else returns | None
        self._parameter(where, signature, 1 + len(given), left, f"what {step.name} may have left")
        self._parameter(where, signature, -1, Context, "its last argument")
        return self._function(step, step.undo.fn, step.undo.retry)

    def _function(self, step: CalledNode[Any], fn: Callable[..., Any], policy: RetryPolicy) -> Function:
        own = step.options.backend or self.header.backend
        runner = own if inspect.iscoroutinefunction(fn) else "thread"
        return Function(fn, runner, policy, step.options.limit, own)

    # --------------------------------------------- signals, timers, children

    def _signal(self, signal: Signal[Any, Any]) -> tuple[Any, Any]:
        wait = None if signal.timeout is None else self._seconds(signal, "timeout", signal.timeout)
        one_of(signal.on_timeout, ("compensate", "continue"), f"{self.saga.__name__}.{signal.name}: on_timeout")
        if signal.timeout is None and signal.on_timeout == "continue":
            raise self.wrong(signal.name, 'on_timeout="continue" needs a timeout')
        self._payload(signal)
        payload = substituted(signal.payload, self.variables[signal.name])
        left = payload | None if signal.on_timeout == "continue" else payload
        self.results[signal.name] = left
        plan = {"kind": "signal", "wait": wait, "on_timeout": signal.on_timeout}
        return {"result": self._codec(signal.name, left)}, plan

    def _payload(self, signal: Signal[Any, Any]) -> None:
        """Raise DefinitionError for a payload that is not a type."""
        payload = signal.payload
        if inspect.isroutine(payload):
            raise self.wrong(
                signal.name, f"signal is not a decorator of methods: write {signal.name} = signal(Payload), with a type"
            )
        if not may_be_a_type(payload):
            raise self.wrong(
                signal.name,
                f"signal({payload!r}): give the type of the payload, such as signal(str) or signal(Payload)",
            )

    def _timer(self, timer: Timer) -> tuple[Any, Any]:
        self.results[timer.name] = NoneType
        definition: dict[str, Any] = {"result": self._codec(timer.name, NoneType)}
        if callable(timer.wait):
            self._asked(timer, "what computes its time", timer.wait, "input", "ctx")
            return {**definition, "prepare": timer.wait}, {"kind": "timer"}
        wait = seconds(timer.wait, f"{self.saga.__name__}.{timer.name}: wait", zero=True)
        return definition, {"kind": "timer", "wait": wait}

    def _child(self, child: Child[Any], position: Position) -> tuple[Any, Any]:
        if not isinstance(child.saga, type) or not hasattr(child.saga, "_header"):
            raise self.wrong(child.name, f"is a child of {child.saga!r}: say a Saga class")
        inner = self.child(child.saga)
        self._asked(child, "what makes its input", child.make_input, "input", "ctx")
        if position == "before" and inner.plan.pivot is not None:
            raise self.wrong(
                child.name,
                f"{inner.plan.saga_type} has a pivot, so it cannot be undone: give this node pivot=True, or let "
                "it come after the pivot",
            )
        self.results[child.name] = inner.output.type
        undo = UndoPlan(retries=FOREVER.as_data(), timeout=CHILD_TIMEOUT) if position == "before" else None
        plan = {
            "kind": "child",
            "child_type": inner.plan.saga_type,
            "timeout": CHILD_TIMEOUT,
            "retries": FOREVER.as_data(),
            "undo": undo,
        }
        return {"result": inner.output, "prepare": child.make_input, "given": inner.input}, plan

    # ------------------------------------------------------- other services

    def _remote(self, remote: Remote[Any], position: Position) -> tuple[Any, Any]:
        self._remote_policies(remote)
        fault = fault_of_remote(remote, position)
        if fault is not None:
            raise self.wrong(remote.name, fault)
        self._asked(remote, "what makes its command", remote.send, "input", "ctx")
        timeout, heartbeat = self._seconds(remote, "timeout", remote.timeout), remote.heartbeat_timeout
        reply = substituted(remote.reply, self.variables[remote.name])
        self.results[remote.name] = reply
        undo = UndoPlan(retries=remote.undo_retry.as_data(), timeout=timeout) if remote.endpoints.undo else None
        plan = {
            "kind": "remote",
            "endpoints": remote.endpoints,
            "on_unknown": remote.on_unknown,
            "has_check": bool(remote.endpoints.check),
            "timeout": timeout,
            "heartbeat": None if heartbeat is None else self._seconds(remote, "heartbeat_timeout", heartbeat),
            "retries": remote.retry.as_data(),
            "undo": undo,
        }
        given = self._codec(f"{remote.name}: its command", returned_by(remote.send, self.names))
        return {"result": self._codec(remote.name, reply), "prepare": remote.send, "given": given}, plan

    def _remote_policies(self, remote: Remote[Any]) -> None:
        where = f"{self.saga.__name__}.{remote.name}"
        one_of(remote.on_unknown, get_args(OnUnknown), f"{where}: on_unknown")
        instance_of(remote.retry, RetryPolicy, f"{where}: retry")
        instance_of(remote.undo_retry, RetryPolicy, f"{where}: undo_retry")
        if not may_be_a_type(remote.reply):
            raise self.wrong(remote.name, f"its reply is {remote.reply!r}: say the type of the result, or None")
