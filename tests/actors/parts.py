"""Small actors that the tests of this folder share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

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


class Ask(NamedTuple):
    """A request to answer with `text`; None is never answered."""

    text: str | None
    reply: Reply[str]


Message = str | Ask


def asking(text: str | None) -> Callable[[Reply[str]], Ask]:
    """Return the function that makes the message of an ask."""
    return lambda reply: Ask(text, reply)


class Recorder(Actor[Message]):
    """Keeps its messages and notices in `seen`; crashes on `crash`."""

    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    async def receive(self, message: Message, ctx: ActorContext[Message]) -> None:
        if isinstance(message, Ask):
            if message.text is not None:
                message.reply.send(message.text)
        elif message == "crash":
            raise RuntimeError("told to")
        else:
            self.seen.append(message)

    async def down(self, notice: Down, ctx: ActorContext[Message]) -> None:
        self.seen.append(notice)


@asynccontextmanager
async def running(*specs: ChildSpec) -> AsyncIterator[list[Ref[Any]]]:
    """Run these children under a root that restarts them one by one; yield their references."""
    root = Supervisor("one_for_one", list(specs), intensity=100)
    async with open_system(root) as system:
        yield [system.ref(spec.name) for spec in specs]


def child(make: Callable[[], Actor[Any]], name: str = "child", **how: Any) -> ChildSpec:
    """Return the spec of a child."""
    return ChildSpec(name, make, **how)


@asynccontextmanager
async def dynamic(**options: Any) -> AsyncIterator[DynamicSupervisor]:
    """Run a dynamic supervisor under a root."""
    supervisor = DynamicSupervisor(backoff=Backoff(initial_interval=1.0, max_interval=4.0, jitter=0.0), **options)
    async with open_system(Supervisor("one_for_one", [ChildSpec("dynamic", lambda: supervisor)])):
        yield supervisor
