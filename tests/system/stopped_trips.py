"""A trip that waits in one of its calls until a test lets it go on."""

from __future__ import annotations

import trio
from sagakit import Context, Handle

from tests.sagas import BookTrip, Trip
from tests.system.members import Member

KEY = "BookTrip.one"


class Stop:
    """A hook that holds one call until the test lets it go on."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.reached = trio.Event()
        self.go_on = trio.Event()

    async def __call__(self, name: str, ctx: Context) -> None:
        if name == self.call and not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()


class Hold(Stop):
    """A hook that holds each call, not only the first."""

    async def __call__(self, name: str, ctx: Context) -> None:
        if name == self.call:
            self.reached.set()
            await self.go_on.wait()


async def started(running: Member, stop: Stop) -> Handle[str]:
    """Start a trip and return its handle once it waits in the held call."""
    handle = await running.runtime.start(BookTrip, "one", Trip())
    await stop.reached.wait()
    return handle
