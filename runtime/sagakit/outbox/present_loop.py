"""The choice of the relay's tasks: those of the loop that runs here. A program without trio imports none of it."""

from __future__ import annotations

import sys
from contextlib import suppress

from sagakit.errors import WrongContext
from sagakit.outbox.relay_tasks import RelayTasks


def tasks_here() -> RelayTasks:
    """Return the primitives of the loop that runs here. Raises WrongContext outside of asyncio and trio."""
    # asyncio first: a task of asyncio may itself run on trio, by trio-asyncio
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        with suppress(RuntimeError):
            if asyncio.current_task() is not None:
                from sagakit.outbox.asyncio_tasks import AsyncioTasks

                return AsyncioTasks()
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        from sagakit.outbox.trio_tasks import TrioTasks

        return TrioTasks()
    raise WrongContext("a relay is for a task of asyncio or trio: call it in an async function")
