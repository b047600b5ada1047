"""Small actors that the tests of this folder share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from sagakit_actors import Actor, ActorContext, ChildSpec, Down, Ref, Reply, Supervisor, open_system


class Ask(NamedTuple):
    """Answer with `text`, if there is one."""

    text: str | None
    reply: Reply[str]


Message = str | Ask


def asking(text: str | None) -> Callable[[Reply[str]], Ask]:
    """For `ref.ask`."""
    return lambda reply: Ask(text, reply)


class Recorder(Actor[Message]):
    """Keeps what it is told in `seen`; crashes on `crash`, ends on `end`."""

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
    """These children under a root that restarts them one by one."""
    root = Supervisor("one_for_one", list(specs), intensity=100)
    async with open_system(root) as system:
        yield [system.ref(spec.name) for spec in specs]


def child(make: Callable[[], Actor[Any]], name: str = "child", **how: Any) -> ChildSpec:
    """A spec."""
    return ChildSpec(name, make, **how)
