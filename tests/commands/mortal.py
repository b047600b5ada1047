"""Sagas and commands for `sagakit worker`, whose process kills itself in the middle of its commands.

`KILLED` says where: `before send 60` is before the message of the 60th command is sent to the inbox, `after send 60` is
after it is durable there and before the command is acknowledged.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import msgspec
from sagakit import Command, Context, Saga, step
from sagakit.jetstream import command_stream
from sagakit.system.inbound.requests import Requests

ACK_WAIT = 2.0
"""Seconds until what a killed worker had in hand comes again. The library waits longer than a test should."""


class Item(msgspec.Struct):
    name: str


class Ship(Saga[Item]):
    @step(compensate=None)
    async def send(self, item: Item, ctx: Context) -> None: ...


class Fate:
    """Kills this process with SIGKILL when it comes to a point for the so-manieth time."""

    def __init__(self, killed: str) -> None:
        self._point, _, number = killed.rpartition(" ")
        self._left = int(number or 0)

    def meet(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def mortal(fate: Fate) -> None:
    """Have the requests of this process meet their fate."""
    immortal = Requests.send

    async def send(self: Requests, *given: Any) -> None:
        fate.meet("before send")
        await immortal(self, *given)
        fate.meet("after send")

    Requests.send = send  # type: ignore[method-assign, assignment]


sagas = [Ship()]
own: dict[str, Any] = {"stream": None} if os.environ.get("OWN") else {}
commands = [Command(os.environ.get("SUBJECT", "items.ship"), Ship, id="name", start="all", **own)]
numbers = [7]
if killed := os.environ.get("KILLED"):
    mortal(Fate(killed))
if "SUBJECT" in os.environ:  # this is a worker's process, not the test's
    command_stream.ACK_WAIT = ACK_WAIT
