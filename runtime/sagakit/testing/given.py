"""What the kit is given: mistakes that would plan nothing, or fail far away, are refused with what to write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, get_args

from sagakit.definition import Node, Plan, Saga, Signal
from sagakit.engine.keys import CallKind
from sagakit.errors import DefinitionError
from sagakit.naming import nearest
from sagakit.testing.schedule import CallFault, CallFaultKind, Faults, MessageAt, WriteFault, WriteFaultKind


def check_faults(plan: Plan, faults: object) -> None:
    """Raise DefinitionError for what is not a schedule of this plan: it would go wrong nowhere."""
    if not isinstance(faults, Faults):
        raise DefinitionError(f"faults={faults!r}: write Faults((...,)), with the faults in a tuple")
    for fault in faults.faults:
        match fault:
            case CallFault():
                _one_of(fault, "step", plan.step_of(fault.step), plan.by_name)
                _one_of(fault, "call", fault.call, get_args(CallKind))
                _one_of(fault, "kind", fault.kind, get_args(CallFaultKind))
            case WriteFault():
                _one_of(fault, "kind", fault.kind, get_args(WriteFaultKind))
            case MessageAt():
                signals = [node.name for node in plan.nodes if node.kind == "signal"]
                _one_of(fault, "name", fault.name, ["", *signals])
            case _:
                raise DefinitionError(f"faults: {fault!r} is not a CallFault, a WriteFault or a MessageAt")


def _one_of(fault: object, field: str, value: object, allowed: Collection[str]) -> None:
    if value not in allowed:
        hint = nearest(str(value), list(allowed)) or f": say {' or '.join(map(repr, allowed))}"
        raise DefinitionError(f"{fault!r}: there is no {field} {value!r}{hint}")


def check_sends(saga: type[Saga[Any, Any]], sends: Sequence[Any]) -> None:
    """Raise DefinitionError for what is not a Send of a signal of this class."""
    for sent in sends:
        signal = getattr(sent, "signal", None)
        if not isinstance(signal, Signal):
            raise DefinitionError(f"send=[{sent!r}]: write Send({saga.__name__}.signal, payload), one for each")
        check_is_node(saga, signal, "send")


def check_is_node(saga: type[Saga[Any, Any]], node: object, where: str) -> None:
    """Raise DefinitionError for what is not a node of this class, such as the name of one."""
    if not isinstance(node, Node) or getattr(saga, node.name, None) is not node:
        raise DefinitionError(f"{where}: {node!r} is not a node of {saga.__name__}: write one, as {saga.__name__}.name")
