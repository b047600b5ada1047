"""Three real nats-servers as one cluster, on free ports of the loopback. Tests kill, pause and restart them.

Clients do not learn the other nodes' addresses (`no_advertise`). They stay with their given addresses, so that they
cannot go around a proxy in between.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from sagakit.jetstream.ports import free_port
from sagakit.jetstream.server_process import find_server

from tests.chaos.processes import Child

NODES = 3
LOOK = 0.1
"""Seconds between two looks at a state that is waited for."""
READY_WITHIN = 60.0
LOG_END = 4_000
"""Characters of a node's log in an error."""
STATE = "KV_SAGA_STATE"


class Node:
    """A server of the cluster, with its data."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.port, self.monitor, self.route = free_port(), free_port(), free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process = Child(name, [find_server(), "-c", str(folder / f"{name}.conf")], folder)

    def configure(self, routes: list[str]) -> None:
        """Write the configuration; `routes` are those of all nodes."""
        lines = [
            f"server_name: {self.name}",
            "host: 127.0.0.1",
            f"port: {self.port}",
            f"http: 127.0.0.1:{self.monitor}",
            f"cluster {{ name: chaos, listen: 127.0.0.1:{self.route}, no_advertise: true",
            f"  routes: [{', '.join(routes)}] }}",
            f'jetstream {{ store_dir: "{self.folder / self.name}" }}',
        ]
        (self.folder / f"{self.name}.conf").write_text("\n".join(lines))

    async def ask(self, path: str) -> dict[str, Any] | None:
        """Return the answer of the monitoring port, or None if it does not answer now."""
        try:
            async with httpx.AsyncClient(timeout=2.0, trust_env=False, verify=False) as client:
                answer = await client.get(f"http://127.0.0.1:{self.monitor}/{path}")
                found: dict[str, Any] = answer.json()
                return found
        except (httpx.HTTPError, ValueError):
            return None

    async def healthy(self) -> bool:
        """Return True if the node serves, and its copies of all streams have caught up."""
        return (await self.ask("healthz") or {}).get("status") == "ok"


class Cluster:
    """A cluster, for tasks of one trio thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.nodes = [Node(f"n{number}", folder) for number in range(1, NODES + 1)]
        routes = [f"nats://127.0.0.1:{node.route}" for node in self.nodes]
        for node in self.nodes:
            node.configure(routes)

    @property
    def url(self) -> str:
        """The URL of all nodes, as `open_runtime` takes it."""
        return ",".join(node.url for node in self.nodes)

    def node(self, name: str) -> Node:
        """Return the node of that name."""
        return next(node for node in self.nodes if node.name == name)

    async def start(self) -> None:
        """Start all nodes that do not run, and return when they have found each other."""
        for node in self.nodes:
            if not node.process.alive:
                node.process.start()
        await self.settled()

    async def settled(self) -> None:
        """Return when every node is healthy and the cluster has a leader. Raises RuntimeError with the nodes' logs."""
        with trio.move_on_after(READY_WITHIN):
            while not await self._is_settled():  # noqa: ASYNC110  # other processes set no event
                await trio.sleep(LOOK)
            return
        raise RuntimeError(f"the cluster is not ready after {READY_WITHIN:g} s:\n{self._logs()}")

    async def _is_settled(self) -> bool:
        if ended := [node.name for node in self.nodes if not node.process.alive]:
            raise RuntimeError(f"{', '.join(ended)} ended by itself:\n{self._logs()}")
        if not all([await node.healthy() for node in self.nodes]):
            return False
        meta = ((await self.nodes[0].ask("jsz")) or {}).get("meta_cluster") or {}
        return bool(meta.get("leader")) and meta.get("cluster_size") == NODES

    def _logs(self) -> str:
        return "\n".join(f"--- {node.name}\n{node.process.log.read_text()[-LOG_END:]}" for node in self.nodes)

    async def leader(self, stream: str = STATE) -> str | None:
        """Return the name of the node that leads a stream, as a live node sees it, or None if no node does."""
        for node in self.nodes:
            if not node.process.alive:
                continue
            for account in ((await node.ask("jsz?streams=true")) or {}).get("account_details") or []:
                for detail in account.get("stream_detail") or []:
                    found = (detail.get("cluster") or {}).get("leader") if detail["name"] == stream else None
                    if found and self.node(found).process.alive:
                        return str(found)
        return None

    async def some_leader(self, stream: str = STATE) -> Node:
        """Return the node that leads a stream, once there is one. Raises trio.TooSlowError."""
        with trio.fail_after(READY_WITHIN):
            while (name := await self.leader(stream)) is None:  # noqa: ASYNC110  # as above
                await trio.sleep(LOOK)
        return self.node(name)

    async def roll(self) -> None:
        """Restart one node after the other, each once the previous one has caught up."""
        for node in self.nodes:
            node.process.signal(signal.SIGTERM)
            await node.process.ended()
            node.process.start()
            await self.settled()


@asynccontextmanager
async def running_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Run a cluster while the context is open."""
    cluster = Cluster(folder)
    try:
        await cluster.start()
        yield cluster
    finally:
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for node in cluster.nodes:
                    nursery.start_soon(node.process.stop)
