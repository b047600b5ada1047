"""Which actor the running task is the main task of: for finding call cycles."""

from __future__ import annotations

from contextvars import ContextVar

import trio

from sagakit_actors.target import Asker

running_cell: ContextVar[Asker | None] = ContextVar("running_cell", default=None)


def asking_cell() -> Asker | None:
    """The actor that would stand still while the running task waits; None outside of actors and in their side tasks."""
    cell = running_cell.get()
    return cell if cell is not None and cell.task is trio.lowlevel.current_task() else None
