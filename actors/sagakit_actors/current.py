"""Which actor the running task is the main task of: for finding call cycles."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from sagakit_actors.cell import Cell

running_cell: ContextVar[Cell[Any] | None] = ContextVar("running_cell", default=None)


def asking_cell() -> Cell[Any] | None:
    """The actor that would stand still while the running task waits; None outside of actors and in their side tasks."""
    cell = running_cell.get()
    return cell if cell is not None and cell.task is trio.lowlevel.current_task() else None
