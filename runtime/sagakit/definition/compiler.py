"""The compiler from a `Saga` class to its plan. Mistakes of a definition are found here and in `node_compiler`."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getattr_static
from types import NoneType
from typing import Any, ForwardRef

from sagakit.definition.annotations import accepts, returned_by, show
from sagakit.definition.functions import fault_of_asked
from sagakit.definition.members import owners_of
from sagakit.definition.model import Definition, Header
from sagakit.definition.node_compiler import NodeCompiler
from sagakit.definition.node_types import codec_of
from sagakit.definition.nodes import CalledNode, Node, types_in
from sagakit.definition.plan import Plan, Position
from sagakit.definition.type_arguments import Variables, open_variables, substituted, variables_of
from sagakit.errors import DefinitionError, InvalidName
from sagakit.naming import check_name

RESERVED = frozenset({"output", "diagram", "migrate", "schema"})


def compile_saga(saga: type, root: type, header: Header, *, child: Callable[[Any], Definition]) -> Definition:
    """Return the compiled definition. Raises DefinitionError, and NotKnownYet if an annotation is not known yet.

    `root` is `Saga` itself; `child` compiles the saga of a child node.
    """
    return _Compiler(saga, root, header, child).definition()


class _Compiler:
    def __init__(self, saga: Any, root: Any, header: Header, child: Callable[[Any], Definition]) -> None:
        self.saga = saga
        self.header = header
        self.has_output: bool = saga.output is not root.output
        self.child = child
        self.variables = variables_of(saga)
        self.input_type, self.output_type = _input_and_output(saga, root, self.variables)
        self.owners = owners_of(saga)
        self.nodes: list[Node[Any]] = list(self.owners)
        self.names: dict[str, Any] = {}
        for node in self.nodes:
            self.names |= node.namespace if isinstance(node, CalledNode) else {}

    def wrong(self, node: str, text: str) -> DefinitionError:
        return DefinitionError(f"{self.saga.__name__}.{node}: {text}")

    # ---------------------------------------------------------- the whole

    def definition(self) -> Definition:
        self._own_names()
        after = self._order()
        positions = self._positions(after)
        variables = {node.name: self.variables[owner] for node, owner in self.owners.items()}
        compiler = NodeCompiler(self.saga, self.header, self.input_type, variables, self.child, self.names)
        compiled = [
            compiler.compile(node, after[node.name], _ancestors(node.name, after), positions[node.name])
            for node in self.nodes
        ]
        plan = Plan(
            saga_type=self.header.name,
            version=self.header.version,
            deadline=self.header.deadline,
            has_output=self.has_output,
            input_type=show(self.input_type),
            output_type=show(self.output_type),
            nodes=tuple(node_plan for _, node_plan in compiled),
        )
        self._own_functions()
        return Definition(
            plan=plan,
            nodes={definition.name: definition for definition, _ in compiled},
            input=codec_of(self.saga, "input", self.input_type, self.names),
            output=codec_of(self.saga, "output", self.output_type, self.names),
        )

    def _own_names(self) -> None:
        for node in self.nodes:
            try:
                check_name(node.name, what="the step")
            except InvalidName as error:
                raise self.wrong(node.name, str(error)) from None
            if node.name in RESERVED:
                raise self.wrong(node.name, "the name is taken by Saga itself: use another")

    def _own_functions(self) -> None:
        """Check `output` and `migrate`."""
        if self.output_type is not NoneType and not self.has_output:
            raise self.wrong("output", f"the output type is {show(self.output_type)}: write output(self, input, ctx)")
        for name, given in {"output": ("input", "ctx"), "migrate": ("old",)}.items():
            bound = isinstance(getattr_static(self.saga, name), staticmethod | classmethod)
            fault = fault_of_asked(getattr(self.saga, name), *(() if bound else ("self",)), *given)
            if fault is not None:
                raise self.wrong(name, fault)
        returned = self._returned_by_output()
        if self.has_output and not accepts(self.output_type, returned):
            raise self.wrong(
                "output",
                f"returns {show(returned)}, but the output type is {show(self.output_type)}: say which in "
                f"class {self.saga.__name__}(Saga[Input, Output])",
            )

    def _returned_by_output(self) -> Any:
        owner = next(base for base in self.saga.__mro__ if "output" in vars(base))
        names = {**self.names, **types_in(owner)}
        return substituted(returned_by(self.saga.output, names), self.variables[owner])

    def _order(self) -> dict[str, tuple[str, ...]]:
        """Return for each node the nodes that it directly comes after."""
        found: dict[str, tuple[str, ...]] = {}
        for node in self.nodes:
            named: list[Any] = [*node.inputs, *(node.after or ())]
            for other in named:
                self._must_stand_above(node, other, found)
            if named or node.after is not None:
                found[node.name] = tuple(dict.fromkeys(str(other.name) for other in named))
            else:
                followed = {name for names in found.values() for name in names}
                found[node.name] = tuple(name for name in found if name not in followed)
        return found

    def _must_stand_above(self, node: Node[Any], other: Any, above: dict[str, Any]) -> None:
        if not isinstance(other, Node):
            raise self.wrong(node.name, f"takes the steps it comes after, not {other!r}")
        if not any(other is own for own in self.nodes):
            raise self.wrong(node.name, f"comes after {other.name}, which is not a step of this saga")
        if other.name not in above:
            raise self.wrong(node.name, f"comes after {other.name}, which is defined below it: move {other.name} up")

    def _positions(self, after: dict[str, tuple[str, ...]]) -> dict[str, Position]:
        pivots = [node.name for node in self.nodes if node.pivot]
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
                    f"comes neither before nor after the pivot {pivots[0]}: let {pivots[0]} come after it, "
                    f"or let it come after {pivots[0]}",
                )
        return positions


def _ancestors(name: str, after: dict[str, tuple[str, ...]]) -> set[str]:
    found: set[str] = set()
    todo = list(after[name])
    while todo:
        parent = todo.pop()
        if parent not in found:
            found.add(parent)
            todo += after[parent]
    return found


def _input_and_output(saga: type, root: Any, variables: dict[type, Variables]) -> tuple[Any, Any]:
    """Return D and T of `Saga[D, T]`."""
    of_input, of_output = root.__parameters__
    own = variables[root]
    input, output = own.get(of_input, of_input), own.get(of_output, of_output)
    if output is of_output:
        output = NoneType
    for one in (input, output):
        if isinstance(one, ForwardRef):
            raise DefinitionError(
                f"{saga.__name__}: Saga[...] has a text in the place of a type, {one.__forward_arg__!r}: write the "
                "type itself, without quotes, and define it above the class"
            )
    if open_variables(input) or open_variables(output):
        generic = next((base for base in saga.__bases__ if base is not root and vars(base).get("__parameters__")), None)
        names = (
            "Input, Output" if generic is None else ", ".join(one.__name__ for one in vars(generic)["__parameters__"])
        )
        written = f"class {saga.__name__}({(generic or root).__name__}[{names}])"
        raise DefinitionError(f"{saga.__name__}: say what its input is: {written}")
    return input, output
