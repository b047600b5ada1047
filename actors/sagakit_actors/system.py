"""The entry to the library: a tree of actors in a trio program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final

import trio

from sagakit_actors.actor import Actor
from sagakit_actors.cell import Exit
from sagakit_actors.errors import StartFailed
from sagakit_actors.ref import Ref
from sagakit_actors.supervisor import ChildInfo, Supervisor
from sagakit_actors.tasks import ChildSpec, TaskCell


@final
class System:
    """A running tree. Made by `open_system`."""

    def __init__(self, root: Supervisor) -> None:
        self._root = root

    def ref(self, name: str) -> Ref[Any]:
        """Return the root's child of that name. Raises KeyError."""
        return self._root.ref(name)

    def which_children(self) -> list[ChildInfo]:
        """Return the state of each child of the root, in order."""
        return self._root.which_children()


@asynccontextmanager
async def open_system(root: Supervisor, *, shutdown: float = 30.0) -> AsyncIterator[System]:
    """Run the tree under `root` while the context is open:

        root = Supervisor("one_for_one", [ChildSpec("counter", Counter)])
        async with open_system(root) as system:
            await system.ref("counter").tell(Add(2))

    The context is entered when every child is ready. Leaving it stops the children in reverse order; what is left after
    `shutdown` seconds is cancelled. If the root gives up, the body is cancelled and the root's error is raised, such as
    RestartIntensityExceeded. If the caller is cancelled, everything is cancelled at once. Raises StartFailed.
    """

    def make() -> Actor[Any]:
        return root

    cell: TaskCell[Any] = TaskCell(ChildSpec("root", make, restart="temporary", shutdown=shutdown))
    exits: list[Exit] = []
    async with trio.open_nursery() as nursery:

        async def live() -> None:
            exits.append(await cell.incarnate())
            nursery.cancel_scope.cancel()  # also the body, if the root gave up: its actors have gone

        nursery.start_soon(live)
        await trio.lowlevel.checkpoint()
        if await cell.until_ready():
            try:
                yield System(root)
            finally:
                await cell.stop()
    crash = exits[0].crash if exits else None
    if crash is not None:
        raise crash
    if not cell.ready.is_set:
        raise StartFailed("the root ended before it was ready")
