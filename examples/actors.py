"""A program on `sagakit_actors` alone: one actor for each parcel, and a desk that keeps what must survive a crash.

    python -m examples.actors

A parcel's actor counts its scans. An unreadable scan crashes it; its supervisor starts it again after a pause, and it
asks the desk where it was. The desk watches the parcels and notes each crash.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from typing import Any, NamedTuple

import trio
from sagakit_actors import (
    Actor,
    ActorContext,
    Backoff,
    ChildSpec,
    Down,
    DynamicSupervisor,
    Ref,
    Reply,
    Supervisor,
    open_system,
)


class Scanned(NamedTuple):
    """A parcel has passed a place."""

    parcel: str
    place: str


class Where(NamedTuple):
    """A question to the desk: the places that a parcel has passed."""

    parcel: str
    reply: Reply[list[str]]


class Track(NamedTuple):
    """A request to the desk to watch a parcel."""

    parcel: Ref[str]


DeskMessage = Scanned | Where | Track


class Desk(Actor[DeskMessage]):
    """Keeps the places of all parcels. It never crashes on a bad scan, since it reads none."""

    def __init__(self) -> None:
        self.places: dict[str, list[str]] = {}

    async def receive(self, message: DeskMessage, ctx: ActorContext[DeskMessage]) -> None:
        match message:
            case Scanned(parcel, place):
                self.places.setdefault(parcel, []).append(place)
            case Where(parcel, reply):
                reply.send(self.places.get(parcel, []))
            case Track(parcel):
                ctx.watch(parcel)

    async def down(self, notice: Down, ctx: ActorContext[DeskMessage]) -> None:
        if notice.reason is not None:
            say(f"{notice.ref.name}: crashed, {notice.reason}")


class Parcel(Actor[str]):
    """A parcel. Each message is a scan, such as `at Rome`; the last one is `delivered`."""

    def __init__(self, name: str, desk: Ref[DeskMessage]) -> None:
        self.name = name
        self.desk = desk

    async def run(self, ctx: ActorContext[str]) -> None:
        await self.desk.tell(Track(ctx.ref))
        passed: list[str] = await self.desk.ask(partial(Where, self.name))
        say(f"{self.name}: begins after {', '.join(passed) or 'nothing'}")
        while (scan := await ctx.receive()) != "delivered":
            await self._pass(str(scan))
        say(f"{self.name}: delivered")

    async def _pass(self, scan: str) -> None:
        word, _, place = scan.partition(" ")
        if word != "at":
            raise ValueError(f"cannot read {scan!r}")
        await self.desk.tell(Scanned(self.name, place))


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(line + "\n")


async def deliver(scans: dict[str, list[str]]) -> None:
    """Send each parcel its scans, one parcel after the other, and return when all are delivered."""
    send, gone = trio.open_memory_channel[str](len(scans))
    backoff = Backoff(initial_interval=0.05, max_interval=1.0)
    parcels = DynamicSupervisor(backoff=backoff, on_exit=lambda ref, crash: send.send_nowait(ref.name))
    # The desk comes first: parcels ask it as they start. If the desk crashes, `rest_for_one` starts the parcels'
    # supervisor again after it, since what they told the lost desk is lost, too.
    root = Supervisor("rest_for_one", [ChildSpec("desk", Desk), ChildSpec("parcels", lambda: parcels)])
    async with open_system(root) as system:
        desk: Ref[Any] = system.ref("desk")
        for name, its in scans.items():
            ref = parcels.start_child(ChildSpec(name, partial(Parcel, name, desk), restart="transient"))
            for scan in its:
                await ref.tell(scan)  # kept in the mailbox while the parcel is being started again
            await gone.receive()


def main() -> None:
    """Run the program with two parcels, one of which meets a broken scanner."""
    logging.getLogger("sagakit_actors").setLevel(logging.CRITICAL)  # the crash is part of the show
    trio.run(
        deliver,
        {
            "parcel-1": ["at Rome", "at Milan", "delivered"],
            "parcel-2": ["at Rome", "#!?", "at Basel", "delivered"],
        },
    )


if __name__ == "__main__":
    main()
