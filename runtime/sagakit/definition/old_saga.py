"""The argument of `migrate`: a saga that was started under an older version."""

from __future__ import annotations

from typing import Any

from sagakit.definition.nodes import Node
from sagakit.errors import DefinitionError


class OldSaga:
    """A saga of an older version, on its way to this one.

    `input` and `results` are JSON values: change them in place. Everything else stays as it is. A renamed step keeps
    its idempotency keys.

    ```python
    def migrate(self, old: OldSaga) -> None:
        old.input["currency"] = "EUR"
        old.rename("pay", to=PlaceOrder.charge)
    ```
    """

    def __init__(self, *, version: int, input: Any, states: dict[str, str], results: dict[str, Any]) -> None:
        self.version: int = version
        self.input: Any = input
        self._states = states
        self.results: dict[str, Any] = results
        self.names: dict[str, str | None] = {name: name for name in states}

    @property
    def steps(self) -> list[str]:
        """The old names of the steps that have begun."""
        return list(self._states)

    def state(self, step: str) -> str:
        """Return the state of a step, such as `done`; `pending` if it has not begun. docs/states.md lists them."""
        return self._states.get(step, "pending")

    def rename(self, step: str, to: Node[Any]) -> None:
        """Give a step its new name. Has no effect if the step has not begun. Raises DefinitionError."""
        if not isinstance(to, Node):
            raise DefinitionError(f"rename({step!r}, {to!r}): write the node of the new version, as Saga.{to}")
        if step in self.names:
            self.names[step] = to.name

    def drop(self, step: str) -> None:
        """Remove a step that no longer exists. Its compensation will never be called. No effect if it has not begun."""
        if step in self.names:
            self.names[step] = None

    def set_result(self, step: str, value: Any) -> None:
        """Give a step that is done another result, as a JSON value; `step` is its old name. Raises DefinitionError."""
        if self.state(step) != "done":
            raise DefinitionError(f"{step} has no result to change: it is {self.state(step)}")
        self.results[step] = value
