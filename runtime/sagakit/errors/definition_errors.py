"""The errors of a wrong `Saga` class: its author is at fault, and no saga was started or changed."""

from __future__ import annotations

from sagakit.errors.error_tree import SagakitError


class DefinitionError(SagakitError):
    """A `Saga` class cannot work as it is written; the text names the class, the member and what to write.

    Raised when the class is created, or when a runtime is opened with it.
    """


class PlanChanged(DefinitionError):
    """The steps of a saga have changed under the same version: records of that version would not match the class.

    Raised when a runtime is opened. Give the class a new `version`, and a `migrate()` for the sagas that run.
    """


class SchemaChanged(DefinitionError):
    """Types of a saga have changed under the same version so that old and new code cannot read each other's values.

    Raised when a runtime is opened. Give the class a new `version`, or a type that reads both forms.
    """

    parts: list[str]
    """The parts that cannot be read: by old code of the values that this class writes, or the other way round."""

    def __init__(self, text: str, parts: list[str]) -> None:
        super().__init__(text)
        self.parts = parts


class CannotMigrate(SagakitError):
    """A saga of an old version cannot become one of the new version. It is left alone, and reported in the log.

    Raised inside a worker that adopts the saga. Extend the new class's `migrate()`, or keep a worker with the old class
    until its sagas have ended.
    """
