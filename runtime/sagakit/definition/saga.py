"""The class `Saga`, which users derive from. Mistakes in a definition are errors when the class is created."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from types import EllipsisType
from typing import Any, Generic, get_args

from typing_extensions import TypeVar

from sagakit.definition.annotations import NotKnownYet
from sagakit.definition.compiler import compile_saga
from sagakit.definition.context import Context
from sagakit.definition.diagram import mermaid
from sagakit.definition.members import has_nodes
from sagakit.definition.model import Definition, Header
from sagakit.definition.nodes import Backend, Node, Undo
from sagakit.definition.old_saga import OldSaga
from sagakit.definition.options import Pending, at_least_one, one_of, seconds
from sagakit.definition.schemas import saga_schema
from sagakit.errors import DefinitionError
from sagakit.naming import check_name, nearest

D = TypeVar("D")
T = TypeVar("T", default=None)


class _Body(dict[str, Any]):
    """A class body that notices when a node is overwritten."""

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(self.get(name), Node | Undo):
            raise DefinitionError(f"{name} is defined twice in one saga: give the second another name")
        super().__setitem__(name, value)


class _SagaMeta(type):
    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **kwargs: Any) -> _Body:
        return _Body()


class Saga(Generic[D, T], metaclass=_SagaMeta):
    """A saga definition with input type D and output type T.

    An instance holds what all sagas of the type share in a worker, such as clients and pools; nothing of one saga.
    Class arguments: `name` on the wire (default: the class's name), `version`, `deadline` as a timedelta from the start
    of a saga, and `backend`, the loop of coroutine functions. A class inherits these from its bases, and the steps of
    mixins and of generic bases are its own. Creating the class raises DefinitionError.

    ```python
    class PlaceOrder(Saga[Order, Receipt], deadline=timedelta(hours=1)):
        @step
        async def reserve(self, order: Order, ctx: Context) -> str: ...

        @reserve.compensate
        async def release(self, order: Order, reservation: str | None, ctx: Context) -> None: ...

        def output(self, order: Order, ctx: Context) -> Receipt:
            return Receipt(reservation=ctx.result(PlaceOrder.reserve))
    ```
    """

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        version: int | None = None,
        deadline: timedelta | EllipsisType | None = ...,
        backend: Backend | None = None,
        **kwargs: Any,
    ) -> None:
        _check_class_options(cls, kwargs)
        _check_body(cls)
        _check_nothing_pending(cls)
        super().__init_subclass__(**kwargs)
        base = next((base for base in cls.__mro__[1:] if "_definition" in vars(base)), None)
        if base is not None:
            raise DefinitionError(
                f"{cls.__name__} inherits from the saga {base.__name__}: compose instead, or share a mixin"
            )
        said: dict[str, Any] = {"name": name, "version": version, "backend": backend}
        own = {key: value for key, value in said.items() if value is not None}
        own |= {} if deadline is ... else {"deadline": deadline}
        cls._said = {**vars(cls).get("_said", {}), **own}  # a decorator may make the class anew, and says nothing
        cls._header = _header(cls)
        if has_nodes(cls) and not vars(cls).get("__parameters__"):
            cls._definition = None
            with suppress(NotKnownYet):  # a type is defined further down: the class is compiled at its first use
                _compiled(cls)

    _said: dict[str, Any]
    _header: Header
    _definition: Definition | None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def output(self, input: D, ctx: Context, /) -> T:
        """Return the saga's output once all steps are done. Has no effects. Override it if T is not None."""
        raise NotImplementedError(f"{type(self).__name__} has no output()")

    def migrate(self, old: OldSaga, /) -> None:
        """Bring a saga of an older version to this one, when it is adopted. Has no effects. Override it to allow that.

        It is called only where the old version is not registered. Everything that it does not change stays as it is. If
        it raises, the saga is left alone and reported.
        """
        raise NotImplementedError(f"{type(self).__name__} has no migrate()")

    @classmethod
    def diagram(cls) -> str:
        """Return the plan as a Mermaid flowchart, with compensations and the pivot. Raises DefinitionError."""
        return mermaid(compiled(cls).plan)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schemas (2020-12) of all values that a saga keeps, for forms and for other languages.

        The keys are `saga`, `version`, `input` and `output`, and, each by the names of nodes, `steps` (results; of an
        each, those of one item), `items` (the list of an each), `signals` (payloads) and `children` (`input` and
        `output`). Each schema is complete in itself. Raises DefinitionError.
        """
        return saga_schema(compiled(cls))


def _check_nothing_pending(saga: type) -> None:
    for name, value in vars(saga).items():
        if isinstance(value, Pending):
            raise DefinitionError(
                f"{saga.__name__}.{name}: its decorator has no method: write it with parentheses above one, as "
                "`@each(source)` or `@step(...)`"
            )


_OPTIONS: dict[str, type] = {"name": str, "version": int, "deadline": timedelta, "backend": str}
"""The options of a saga class, with the types of their values."""


def _check_class_options(cls: type, options: Collection[str]) -> None:
    """Raise DefinitionError for class arguments that neither `Saga` nor a mixin takes."""
    others = cls.__mro__[cls.__mro__.index(Saga) + 1 :]
    if options and not any("__init_subclass__" in vars(base) for base in others if base not in (Generic, object)):
        wrong = next(iter(options))
        raise DefinitionError(
            f"{cls.__name__}: {wrong}= is not an option of a saga class{nearest(wrong, _OPTIONS)}; "
            f"there are: {', '.join(_OPTIONS)}"
        )


def _check_body(cls: type) -> None:
    """Raise DefinitionError for an option in the class body, which would be a plain attribute without effect."""
    for name, kind in _OPTIONS.items():
        value = vars(cls).get(name)
        if isinstance(value, kind):
            raise DefinitionError(
                f"{cls.__name__}.{name} = {value!r} is an attribute, and sets no option: write it into the class line, "
                f"class {cls.__name__}(Saga[...], {name}=...), or give an attribute of your own another name"
            )


def _header(saga: type) -> Header:
    """Return the class arguments of a class and its bases, with defaults for those that are missing."""
    said: dict[str, Any] = {"name": saga.__name__, "version": 1, "deadline": None, "backend": "trio"}
    for base in reversed(saga.__mro__):
        said |= vars(base).get("_said", {})
    at_least_one(said["version"], f"{saga.__name__}: version")
    one_of(said["backend"], get_args(Backend), f"{saga.__name__}: backend")
    check_name(said["name"], what=f"the name of saga {saga.__name__}")
    deadline = said["deadline"]
    return Header(**{**said, "deadline": None if deadline is None else seconds(deadline, f"{saga.__name__}: deadline")})


def compiled(saga: type[Saga[Any, Any]]) -> Definition:
    """Return the definition of a saga class, which is compiled once. Raises DefinitionError."""
    try:
        return _compiled(saga)
    except NotKnownYet as error:
        raise DefinitionError(str(error)) from None


def _compiled(saga: type[Saga[Any, Any]]) -> Definition:
    """Return the definition of a saga class. Raises DefinitionError and NotKnownYet."""
    found = getattr(saga, "__dict__", {}).get("_definition")
    if isinstance(found, Definition):
        return found
    if not (isinstance(saga, type) and issubclass(saga, Saga)):
        raise DefinitionError(f"{saga!r} is not a Saga class: write the class itself, and not an instance of it")
    if not has_nodes(saga):
        raise DefinitionError(f"{saga.__name__} has no steps: write at least one method with @step")
    if "_definition" not in vars(saga):
        raise DefinitionError(f"{saga.__name__} is generic: derive a class from it that says what its types are")
    definition = compile_saga(saga, Saga, saga._header, child=_compiled)
    saga._definition = definition
    return definition
