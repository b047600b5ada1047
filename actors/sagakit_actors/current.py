"""The actor that the running task belongs to: for finding call cycles."""

from __future__ import annotations

from contextvars import ContextVar

import trio

from sagakit_actors.target import Asker

running_cell: ContextVar[Asker | None] = ContextVar("running_cell", default=None)
"""The cell whose main task set it. Side tasks inherit it: trio copies the context of their parent task."""


def asking_cell() -> Asker | None:
    """Return the actor that handles no message while the running task waits; None if there is no such actor.

    A side task of an actor is not its main task: the actor goes on while the side task asks, so no cycle can form.
    """
    cell = running_cell.get()
    return cell if cell is not None and cell.task is trio.lowlevel.current_task() else None
