"""The sagas and commands of a module, as `sagakit contract` names them: `module`, or `module:name`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from sagakit.cli.exits import UsageError
from sagakit.cli.loading import load
from sagakit.contract.document import Document, SagaClass, asyncapi_document
from sagakit.definition import Saga, compiled
from sagakit.messages.commands import Command

FORM: str = "module, or module:name, such as shop.worker or shop.worker:sagas"


def contract_of(addresses: Iterable[str], *, namespace: str = "") -> Document:
    """Return the contract of the sagas that are named, and of all commands for them in the same modules.

    `module:name` is a Saga class, or a list of sagas or classes; a module alone gives the Saga classes in it. Raises
    UsageError, DefinitionError, and any error that importing a module raises.
    """
    addresses = list(dict.fromkeys(addresses))
    modules = [import_module(load(f"{address.partition(':')[0]}:__name__", form=FORM)) for address in addresses]
    sagas: list[SagaClass] = []
    for address in addresses:
        sagas += _named(address)
    sagas = list(dict.fromkeys(sagas))
    commands = [one for module in modules for one in _commands_in(module) if one.saga in sagas]
    return asyncapi_document(", ".join(addresses), sagas, list(dict.fromkeys(commands)), namespace=namespace)


def _named(address: str) -> list[SagaClass]:
    module, colon, _ = address.partition(":")
    if not colon:
        found = list(_classes_in(import_module(module)))
        if not found:
            raise UsageError(f"{module} has no Saga classes: name a module that defines or imports them")
        return found
    named: Any = load(address, form=FORM)
    members = named if isinstance(named, list | tuple) else [named]
    classes = [one if isinstance(one, type) else type(one) for one in members]
    if not classes or not all(issubclass(one, Saga) for one in classes):
        raise UsageError(f"{address} is not a Saga class, nor a list of sagas: write {FORM}")
    for one in classes:
        compiled(one)
    return classes


def _classes_in(module: Any) -> Iterator[SagaClass]:
    """Yield the Saga classes of a module, without those that others are derived from: they have no steps."""
    for name, value in vars(module).items():
        if isinstance(value, type) and issubclass(value, Saga) and "_definition" in vars(value) and name[0] != "_":
            compiled(value)
            yield value


def _commands_in(module: Any) -> Iterator[Command]:
    for value in vars(module).values():
        if isinstance(value, list | tuple):
            yield from (one for one in value if isinstance(one, Command))
