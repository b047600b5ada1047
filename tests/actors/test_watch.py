"""Death watch: exactly one notice for each incarnation that ends, also for the already dead."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing
from sagakit_actors import (
    Actor,
    ActorContext,
    Backoff,
    ChildSpec,
    Down,
    DynamicSupervisor,
    Reactor,
    ReactorSpec,
    Ref,
)

from tests.actors.parts import Recorder, child, running


class Watcher(Actor[Any]):
    """Watches the actors that it is told of, and keeps the notices."""

    def __init__(self, seen: list[Down]) -> None:
        self.seen = seen

    async def receive(self, message: tuple[str, Ref[Any]], ctx: ActorContext[Any]) -> None:
        {"watch": ctx.watch, "unwatch": ctx.unwatch}[message[0]](message[1])

    async def down(self, notice: Down, ctx: ActorContext[Any]) -> None:
        self.seen.append(notice)


class Noting(Reactor[Any]):
    """Keeps the notices that it gets."""

    def __init__(self, seen: list[Down]) -> None:
        self.seen = seen

    def react(self, messages: list[Any]) -> bool:
        self.seen += messages
        return True


async def test_one_notice_for_each_incarnation() -> None:
    seen: list[Down] = []
    async with running(child(lambda: Watcher(seen), "watcher"), child(lambda: Recorder([]), "other")) as [ref, other]:
        await ref.tell(("watch", other))
        await ref.tell(("watch", other))
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            await other.tell("crash")
            await trio.testing.wait_all_tasks_blocked()
        assert [(notice.ref, notice.incarnation, str(notice.reason)) for notice in seen] == [
            (other, 1, "told to"),
            (other, 2, "told to"),
        ]
        await ref.tell(("unwatch", other))
        await trio.testing.wait_all_tasks_blocked()
        await other.tell("crash")
        await trio.testing.wait_all_tasks_blocked()
        assert len(seen) == 2


async def test_one_notice_of_the_already_dead() -> None:
    seen: list[Down] = []
    specs = child(lambda: Watcher(seen), "watcher"), child(lambda: Recorder([]), "other", restart="temporary")
    async with running(*specs) as [ref, other]:
        await other.tell("crash")
        await trio.testing.wait_all_tasks_blocked()
        assert not other.alive
        await ref.tell(("watch", other))
        await trio.testing.wait_all_tasks_blocked()
        assert [(notice.ref, notice.incarnation) for notice in seen] == [(other, 1)]


async def test_all_children_of_a_supervisor_get_one_notice_each_also_a_later_one() -> None:
    seen: dict[str, list[Down]] = {"reactor": [], "actor": [], "later": []}
    supervisor = DynamicSupervisor(backoff=Backoff(initial_interval=1.0, max_interval=1.0))

    def start(name: str) -> None:
        supervisor.start_reactor(ReactorSpec(name, lambda: Noting(seen[name])))

    async with running(ChildSpec("all", lambda: supervisor), child(lambda: Recorder([]), "other")) as [_, other]:
        supervisor.watch_for_children(other)
        start("reactor")
        supervisor.start_child(child(lambda: Watcher(seen["actor"]), "actor"))
        await trio.testing.wait_all_tasks_blocked()
        await other.tell("crash")
        await trio.testing.wait_all_tasks_blocked()
        start("later")
        await other.tell("crash")
        await trio.testing.wait_all_tasks_blocked()
        found = {name: [(notice.ref, notice.incarnation) for notice in notices] for name, notices in seen.items()}
        assert found == {"reactor": [(other, 1), (other, 2)], "actor": [(other, 1), (other, 2)], "later": [(other, 2)]}
