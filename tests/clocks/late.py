"""P10 on a real server: a create that is held on the wire while another worker runs the same id to its end.

Each worker uses its own clock, as every worker once did, and the end marker expires after a second. The late worker
sends its create again when there is no answer for a while. When the two creates come through, one after the other, only
the archive can stop them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio
from sagakit import Completed, Config, Runtime
from sagakit.binding.registry import Registry
from sagakit.client.bare_errors import bare_errors
from sagakit.cluster.worker import run_worker
from sagakit.engine import ENDS
from sagakit.system.open_store import open_store

from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.store.frozen import Relay, relaying
from tests.system.members import no_asyncio

HELD = 5.0
"""Seconds that the create is on its way."""


class Holding(Relay):
    """A relay that takes the create of one key out of the stream, and puts it back HELD seconds later."""

    def __init__(self, server: Server, bucket: str, key: str) -> None:
        super().__init__(server)
        self._head = f"HPUB $KV.{bucket}.{key} ".encode()
        self._frame = b""
        self.held: trio.Event = trio.Event()
        self.passed: trio.Event = trio.Event()
        self._until = 0.0

    async def up(self, piece: bytes, connection: int) -> bytes:
        if not self.held.is_set() and self._head in piece:
            piece = self._take_out(piece)
        elif self._frame and trio.current_time() >= self._until:
            piece, self._frame = self._frame + piece, b""
            self.passed.set()
        return piece

    def _take_out(self, piece: bytes) -> bytes:
        before, _, rest = piece.partition(self._head)
        line, _, body = rest.partition(b"\r\n")
        size = int(line.split()[-1]) + len(b"\r\n")
        assert len(body) >= size, "the frame came in pieces"
        self._frame = self._head + line + b"\r\n" + body[:size]
        self._until = trio.current_time() + HELD
        self.held.set()
        return before + body[size:]


class Report(msgspec.Struct):
    """Number of calls of each worker's saga, and the archive's final record."""

    late_calls: int
    other_calls: int
    late_outcome: Any
    owner_archived: str
    other_worker: str

    @property
    def right(self) -> bool:
        """True if only the other worker ran the id, and the archive has that run."""
        once = (self.late_calls, self.other_calls) == (0, 3)
        return once and self.late_outcome == Completed("tickets-Rome") and self.owner_archived == self.other_worker


async def run(server: Server, namespace: str, *, ahead: float) -> Report:
    """Run both workers. `ahead` is the lead of the other worker's clock in seconds."""
    late, other = BookTrip(), BookTrip()
    config = Config(namespace=namespace, ack_timeout=30.0, marker_ttl=1.0)
    outcomes: list[Any] = []
    async with (
        relaying(Holding(server, f"{namespace}_SAGA_STATE", "BookTrip.one")) as relay,
        _worker(server.url, config, other, now=lambda: time.time() + ahead) as two,
        _worker(relay.url, config, late, now=time.time) as one,
    ):

        async def start() -> None:
            outcomes.append(await one.execute(BookTrip, "one", Trip()))

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(start)
                await relay.held.wait()
                assert await two.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
                await relay.passed.wait()
            while (record := await two.record("BookTrip.one")).status not in ENDS or await one.list_active():
                await one.scan()  # a late copy of the record belongs to nobody, until a scan finds it
                await trio.sleep(0.1)  # a scan is what ends it
    return Report(len(late.calls), len(other.calls), outcomes[0], record.owner, two.worker_id)


@asynccontextmanager
async def _worker(url: str, config: Config, saga: BookTrip, *, now: Callable[[], float]) -> AsyncIterator[Runtime]:
    with bare_errors():
        async with (
            open_store(url, config) as store,
            run_worker(store, registry=Registry([saga]), config=config, call_asyncio=no_asyncio, now=now) as worker,
        ):
            yield Runtime(worker)
