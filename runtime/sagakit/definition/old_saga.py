"""What `migrate` of a new version is given: a saga that was started under an old one."""

from __future__ import annotations

from typing import Any

from sagakit.definition.nodes import Node
from sagakit.errors import DefinitionError


class OldSaga:
    """A saga of an old version, on its way to this one. `input` and results are JSON values: change them in place.

    What is not changed stays as it is, by the names of the steps. A renamed step keeps its idempotency keys.
    """

    def __init__(self, *, version: int, input: Any, states: dict[str, str], results: dict[str, Any]) -> None:
        self.version: int = version
        self.input: Any = input
        self._states = states
        self.results: dict[str, Any] = results
        self.names: dict[str, str | None] = {name: name for name in states}

    @property
    def steps(self) -> list[str]:
        """The steps that have begun, by their old names."""
        return list(self._states)

    def state(self, step: str) -> str:
        """How far a step has come: `pending` if it has not begun; see docs/states.md."""
        return self._states.get(step, "pending")

    def rename(self, step: str, to: Node[Any]) -> None:
        """The step is called otherwise now. Harmless if it has not begun. Raises DefinitionError."""
        if not isinstance(to, Node):
            raise DefinitionError(f"rename({step!r}, {to!r}): write the node of the new version, as Saga.{to}")
        if step in self.names:
            self.names[step] = to.name

    def drop(self, step: str) -> None:
        """The step is no more. What it has done will never be undone: so say it only where that is meant."""
        if step in self.names:
            self.names[step] = None

    def set_result(self, step: str, value: Any) -> None:
        """Give a step that is done another result, as a JSON value; `step` is its old name. Raises DefinitionError."""
        if self.state(step) != "done":
            raise DefinitionError(f"{step} has no result to change: it is {self.state(step)}")
        self.results[step] = value
