"""Loading: finds what a command line names as `module:name`: sagas, classes, commands, a tracing, a payload codec."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from sagakit.cli.exits import UsageError
from sagakit.definition import Saga, compiled
from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.jetstream.host import Host
from sagakit.messages.commands import Command
from sagakit.tracing import Tracing

Sagas = Sequence[Saga[Any, Any]]


def load(
    address: str,
    *,
    form: str = "module:name, such as shop.worker:sagas",
    offers: Callable[[Any], str] | None = None,
) -> Any:
    """Return the object that `module:name` names. Raises UsageError, and any error that importing the module raises.

    `offers` describes the objects of a module, for the error that the name does not exist.
    """
    module, colon, name = address.partition(":")
    if module.endswith(".py"):
        said = f"{module.removesuffix('.py').strip('./').replace('/', '.')}:{name or 'name'}"
        raise UsageError(f"{address!r}: write the name of the module, not its file: {said}")
    if not (module and colon and name) or module.startswith("."):
        raise UsageError(f"{address!r}: write {form}")
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists, and one that it imports does not
        raise UsageError(
            f"no module {error.name!r}: it must be installed, or be in the working directory or on PYTHONPATH"
        ) from None
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UsageError(f"{module} has no {name!r}; {(offers or _lists)(import_module(module))}") from None
    return found


def saga_class(address: str, *, form: str) -> type[Saga[Any, Any]]:
    """Return the Saga class that `MODULE:CLASS` names. Raises UsageError, DefinitionError, and errors of the import."""
    found = load(address, form=form, offers=_classes)
    if not (isinstance(found, type) and issubclass(found, Saga)):
        raise UsageError(f"{address} is not a Saga class; {_classes(import_module(address.partition(':')[0]))}")
    # The class exists, but its types may be defined below it in the module, so they are checked only now.
    compiled(found)
    return found


def command_list(address: str) -> Sequence[Command]:
    """Return the commands that `module:name` names. Raises UsageError, and any error that importing the module raises.

    A command line says no more than their name: an id may be a function, and a signal is one of a class.
    """
    found = load(address, form="module:name, such as shop.worker:commands", offers=_command_lists)
    if not isinstance(found, list | tuple) or not all(isinstance(one, Command) for one in found):
        raise UsageError(f"{address} must be a list of Command, such as [Command('orders.place', PlaceOrder, ...)]")
    return found


def tracing_of(address: str) -> Tracing:
    """Return the tracing that `module:name` names, or that the function of that name returns.

    Raises UsageError, and any error that importing the module or calling the function raises.
    """
    found = load(address, form="module:name, such as shop.worker:tracing", offers=lambda module: "define it there")
    if callable(found) and not isinstance(found, Tracing):
        _check_needs_nothing(found, address)
        found = found()
    if isinstance(found, type) or not isinstance(found, Tracing):
        raise UsageError(
            f"{address} must be a tracing, such as sagakit.otel.OtelTracing(provider), or a function that returns one"
        )
    return found


def payloads_of(address: str | None) -> Payloads:
    """Return the way of values by the payload codec that `module:name` names, or that its function returns.

    Raises UsageError, InvalidConfig, and any error that importing the module or calling the function raises.
    """
    if not address:
        return PLAIN_PAYLOADS
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    found: Any = load(address, form="module:name, such as shop.keys:codec", offers=lambda module: "define it there")
    if callable(found) and not isinstance(found, type):
        _check_needs_nothing(found, address)
        found = found()
    codecs: Any = found
    return Payloads(codecs)


@asynccontextmanager
async def opened(found: Any, address: str, host: Host | None) -> AsyncIterator[Sagas]:
    """Open the sagas for as long as the context is open. With a `host`, factories run on its asyncio loop.

    `found` is a sequence of sagas, or a function that returns one or a context manager that yields one. Raises
    UsageError.
    """
    made = found
    if callable(found) and not isinstance(found, type):
        _check_needs_nothing(found, address)
        made = found()
        if inspect.isawaitable(made):
            made = await (made if host is None else host.call(_awaited, made))
    if isinstance(made, AbstractAsyncContextManager):
        async with made if host is None else host.held(made) as sagas:
            yield _checked(sagas, address)
    elif isinstance(made, AbstractContextManager):
        with made as sagas:
            yield _checked(sagas, address)
    else:
        yield _checked(made, address)


def _check_needs_nothing(factory: Callable[..., Any], address: str) -> None:
    try:
        signature = inspect.signature(factory)
    except ValueError:  # some builtins have none
        return
    try:
        signature.bind()
    except TypeError:
        raise UsageError(f"{address} takes {signature}, but is called without arguments") from None


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _checked(sagas: Any, address: str) -> Sagas:
    if isinstance(sagas, Saga):
        raise UsageError(f"{address} is one saga: put it into a list, [{type(sagas).__name__}(...)]")
    if isinstance(sagas, type):
        raise UsageError(
            f"{address} is a class, {sagas.__name__}: a worker needs instances, in a list: [{sagas.__name__}()]"
        )
    if not isinstance(sagas, Sequence) or isinstance(sagas, str | bytes):
        raise UsageError(
            f"{address} gives {type(sagas).__name__}: it must be a list of Saga instances, or a function that returns "
            "one, or a context manager that yields one"
        )
    if not sagas:
        raise UsageError(f"{address} holds no sagas: a worker runs at least one")
    for saga in sagas:
        if not isinstance(saga, Saga):
            hint = ": write an instance" if isinstance(saga, type) else ""
            raise UsageError(f"{address} holds {saga!r}, which is not a Saga instance{hint}")
        compiled(type(saga))  # see `saga_class`
    return sagas


def _classes(module: Any) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, type) and issubclass(value, Saga) and value is not Saga
    ]
    return f"it has the Saga classes {', '.join(names)}" if names else "it has no Saga classes"


def _lists(module: Any) -> str:
    return _lists_of(Saga, "sagas", module) or "define a list of Saga instances there"


def _command_lists(module: Any) -> str:
    return _lists_of(Command, "commands", module) or "define a list of Command there"


def _lists_of(kind: type[Any], word: str, module: Any) -> str:
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, list | tuple) and any(isinstance(one, kind) for one in value)
    ]
    return f"it has lists of {word} as {', '.join(names)}" if names else ""
