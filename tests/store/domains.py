"""A hub and a leaf node, each with a JetStream domain, in one account: `python -m tests.store.domains`.

Prints what a worker is told that opens on the second of the two sides, and what becomes of one saga that is started at
the leaf node once the sides are kept apart.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import trio
from sagakit import Runtime, UnknownSaga, open_runtime
from sagakit.errors import NoResponders, OtherDomain
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.parser import Delivery
from sagakit.jetstream.ports import free_port

from tests.sagas import BookTrip
from tests.servers import READY, Server, running_server

HEADS = "saga sagain sagaop sagareply sagasys sagapark sagadead sagacmd sagaintake sagactl"
SUBJECTS = json.dumps([f"{head}.>" for head in HEADS.split()])
APART = f"deny_imports: {SUBJECTS}, deny_exports: {SUBJECTS}"
"""Return what the error says to write into the leaf node's configuration."""
SETTLED = 1.0
"""Seconds after which a second start would long have been seen; no more than that it did not come can be waited for."""


class Sides(NamedTuple):
    hub: Server
    leaf: Server


@asynccontextmanager
async def joined(folder: Path, *, domains: tuple[str, str] = ("hub", "leaf"), remote: str = "") -> AsyncIterator[Sides]:
    """Run both servers until each knows what the other's subscribers want; an empty domain is none."""
    port = free_port()
    hub_domain, leaf_domain = (f"domain: {domain}" if domain else "" for domain in domains)
    accepts = f"server_name: hub\nleafnodes {{ host: 127.0.0.1, port: {port} }}"
    connects = f'leafnodes {{ remotes: [ {{ url: "nats-leaf://127.0.0.1:{port}", {remote} }} ] }}'
    with (
        running_server(folder / "hub", config=accepts, jetstream=hub_domain) as hub,
        running_server(folder / "leaf", config=f"server_name: leaf\n{connects}", jetstream=leaf_domain) as leaf,
    ):
        sides = Sides(hub, leaf)
        await _interest_crosses(sides)
        yield sides


async def _interest_crosses(sides: Sides) -> None:
    """Ask across until an answer comes back. Interest crosses in order, so that of the streams has crossed by then."""
    async with (
        open_link(Connection(servers=(sides.hub.url,))) as hub,
        open_link(Connection(servers=(sides.leaf.url,))) as leaf,
    ):

        def answer(question: Delivery) -> None:
            hub.tell(question.reply, b"here")

        async with hub.subscriptions.diverted(answer) as subject:
            with trio.fail_after(READY):
                while True:
                    with suppress(NoResponders):
                        await leaf.request(subject, b"there?")
                        return
                    await trio.sleep(0.01)  # neither server tells when interest has crossed


async def told(first: Server, second: Server) -> str | None:
    """Return what a worker on `second` is told while one is open on `first`; None if it may open."""
    async with open_runtime(first.url, sagas=[BookTrip()]):
        try:
            async with open_runtime(second.url, sagas=[BookTrip()]):
                return None
        except OtherDomain as error:
            return str(error)


async def starts_at(sides: Sides, *, leaf_namespace: str = "") -> list[int]:
    """Start one saga by a message at the leaf node; how often it was started at the hub, and at the leaf node."""
    hub_saga, leaf_saga = BookTrip(), BookTrip()
    async with (
        open_runtime(sides.hub.url, sagas=[hub_saga]),
        open_runtime(sides.leaf.url, sagas=[leaf_saga], namespace=leaf_namespace) as leaf,
    ):
        start = b'{"kind":"start","input":{"city":"Rome"}}'
        await leaf._store.inbox.send("client", id="1", saga_type="BookTrip", saga_id="one", payload=start)
        await _until_known(leaf)
        await (await leaf.get(BookTrip, "one")).outcome()
        await trio.sleep(SETTLED)
    return [saga.names.count("hotel") for saga in (hub_saga, leaf_saga)]


async def _until_known(runtime: Runtime) -> None:
    while True:
        with suppress(UnknownSaga):
            await runtime.load(BookTrip, "one")
            return
        await trio.sleep(0.02)  # a message starts the saga: nothing tells of it before it exists


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with joined(Path(folder) / "joined") as sides:
            print("the leaf node's worker, beside the hub's, is told:", await told(sides.hub, sides.leaf))
            print("with a namespace of its own: starts at hub and leaf:", await starts_at(sides, leaf_namespace="leaf"))
        async with joined(Path(folder) / "apart", remote=APART) as sides:
            print("with subjects denied: starts at hub and leaf:", await starts_at(sides))


if __name__ == "__main__":
    trio.run(main)
