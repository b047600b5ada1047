"""The registry of the definitions that a worker knows, each bound to the instance that its sagas share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from sagakit.binding.saga_binding import SagaBinding
from sagakit.definition import Limit, Saga
from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.engine import Record
from sagakit.errors import DefinitionError, NotRegistered

CanRead: TypeAlias = Callable[[str, bytes | msgspec.Raw], Awaitable[bool]]
"""Function that returns whether another worker can read an input of a saga type, as JSON. Raises StoreError."""


class Registry:
    """The bindings of one worker, by class and by type and version. Raises DefinitionError."""

    def __init__(
        self,
        sagas: Sequence[Saga[Any, Any]],
        *,
        bind: Callable[[Saga[Any, Any]], SagaBinding] = SagaBinding,
        payloads: Payloads = PLAIN_PAYLOADS,
    ) -> None:
        self.payloads = payloads
        """The way of all values, also of sagas that run elsewhere."""
        self._bind = bind
        self._by_class: dict[type[Saga[Any, Any]], SagaBinding] = {}
        self._by_version: dict[tuple[str, int], SagaBinding] = {}
        for saga in _listed(sagas):
            self._add(saga)

    def _add(self, saga: Saga[Any, Any]) -> None:
        if isinstance(saga, type):
            raise DefinitionError(
                f"sagas=[...] takes instances: write {saga.__name__}(...), with its clients and pools"
            )
        if not isinstance(saga, Saga):
            raise DefinitionError(f"sagas=[...] takes instances of Saga classes, not {saga!r}")
        binding = self._bind(saga)
        address = (binding.plan.saga_type, binding.plan.version)
        if address in self._by_version:
            raise DefinitionError(
                f"two definitions of {address[0]} version {address[1]}: give one another name or version"
            )
        self._by_class[type(saga)] = binding
        self._by_version[address] = binding

    def __contains__(self, address: tuple[str, int]) -> bool:
        return address in self._by_version

    @property
    def types(self) -> list[str]:
        """The saga types, each once."""
        return sorted({saga_type for saga_type, _ in self._by_version})

    @property
    def versions(self) -> dict[str, list[int]]:
        """The known versions of each type, for the lease."""
        return {name: sorted(v for t, v in self._by_version if t == name) for name in self.types}

    @property
    def migrating(self) -> dict[str, list[int]]:
        """The versions of each type that can take over sagas of older ones, for the lease."""
        found: dict[str, list[int]] = {}
        for (name, version), binding in sorted(self._by_version.items()):
            if binding.can_migrate:
                found.setdefault(name, []).append(version)
        return found

    @property
    def schemas(self) -> dict[str, list[str]]:
        """The digests of the known schemas of each type, for the lease."""
        return {
            name: sorted(binding.schema_digest for (of, _), binding in self._by_version.items() if of == name)
            for name in self.types
        }

    def latest(self, saga_type: str) -> SagaBinding:
        """Return the binding of the highest known version of a type. Raises KeyError."""
        return self._by_version[max(address for address in self._by_version if address[0] == saga_type)]

    def check_complete(self) -> None:
        """Raise DefinitionError for children that nobody can run where no other worker can be."""
        missing = self.external_child_types
        if missing:
            raise DefinitionError(
                f"children are missing, and on memory no other worker can run them: add an instance of "
                f"{', '.join(missing)} to sagas=[...] of open_runtime (sagakit.run takes one saga only)"
            )

    @property
    def sends_commands(self) -> bool:
        """True if a saga of this worker has a remote step."""
        return any(node.endpoints is not None for binding in self.bindings for node in binding.plan.nodes)

    @property
    def external_child_types(self) -> list[str]:
        """The types of children that only other workers can run."""
        nodes = (node for binding in self.bindings for node in binding.plan.nodes)
        return sorted({node.child_type for node in nodes if node.child_type} - set(self.types))

    @property
    def bindings(self) -> list[SagaBinding]:
        """All bindings."""
        return list(self._by_version.values())

    @property
    def limits(self) -> list[Limit]:
        """The limits that the steps name."""
        nodes = (node for binding in self.bindings for node in binding.definition.nodes.values())
        functions = (function for node in nodes for function in (node.action, node.check, node.undo))
        return [function.limit for function in functions if function is not None and function.limit is not None]

    @property
    def needs_asyncio(self) -> bool:
        """True if any step runs under asyncio."""
        return any(binding.definition.needs_asyncio for binding in self._by_class.values())

    def of_class(self, saga: type[Saga[Any, Any]]) -> SagaBinding:
        """Return the binding of a class. Raises NotRegistered."""
        try:
            return self._by_class[saga]
        except KeyError:
            known = ", ".join(sorted(cls.__name__ for cls in self._by_class)) or "none"
            raise NotRegistered(
                f"{saga.__name__} is not among the sagas of this runtime ({known}): add an instance to sagas=[...]"
            ) from None

    def migration_target(self, record: Record) -> SagaBinding | None:
        """Return the lowest newer version that can migrate this record; None if its own version is registered."""
        if (record.saga_type, record.definition_version) in self._by_version:
            return None
        newer = [version for name, version in self._by_version if name == record.saga_type]
        for version in sorted(version for version in newer if version > record.definition_version):
            if self._by_version[record.saga_type, version].can_migrate:
                return self._by_version[record.saga_type, version]
        return None

    def of_record(self, record: Record) -> SagaBinding | None:
        """Return the binding that may run this record; None if its type, version or plan is unknown here (P11).

        A saga that waits for its start begins under the highest version here that can read its input.
        """
        if record.starts_at is not None and (begins := self._to_begin(record)) is not None:
            return begins
        binding = self._by_version.get((record.saga_type, record.definition_version))
        return binding if binding is not None and binding.plan.digest == record.plan_digest else None

    def _to_begin(self, record: Record) -> SagaBinding | None:
        of_type = sorted(address for address in self._by_version if address[0] == record.saga_type)
        bindings = (self._by_version[address] for address in reversed(of_type))
        return next((binding for binding in bindings if binding.can_begin(record)), None)


def _listed(sagas: Iterable[Saga[Any, Any]]) -> list[Saga[Any, Any]]:
    """Return the instances as a list. Raises DefinitionError if it is given something else than several instances."""
    if isinstance(sagas, Saga):
        raise DefinitionError(f"sagas={type(sagas).__name__}(...): write a list, even of one: sagas=[...]")
    if isinstance(sagas, type | str | bytes) or not isinstance(sagas, Iterable):
        raise DefinitionError(f"sagas={sagas!r}: write a list of Saga instances: sagas=[...]")
    return list(sagas)
