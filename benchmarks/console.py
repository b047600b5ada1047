"""The console: first paints with many stored sagas, and what pages that stay open cost beside sagas at work."""

from __future__ import annotations

from functools import partial
from itertools import count

import msgspec
import trio
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.store import JetStreamStore, open_jetstream
from sagakit.store.names import Names

from benchmarks.open_pages import Beside, beside
from benchmarks.paints import PAGES, paints
from benchmarks.result import Bench, Case, Figures
from benchmarks.servers import Servers, servers
from benchmarks.stored import PATIENCE, Sizes, fill, put_lease
from benchmarks.web import console

RENEWAL = 3.0
"""Seconds between two renewals of the lease of the worker that there seems to be."""
MEANINGS = {
    "overview": "the overview, with one live saga of 20 stuck",
    "sagas": "the list of unfinished sagas",
    "completed": "the list of completed sagas",
    "floor": "a page that reads no sagas",
}

BENCH = Bench(
    "console",
    {
        **{
            key: text
            for name in PAGES
            for key, text in (
                (f"{name}_paint_ms", f"{MEANINGS[name]}: first contentful paint in Chromium, empty cache, median"),
                (f"{name}_answer_ms", "the answer to that alone, without a browser, median"),
                (f"{name}_cpu_ms", "CPU of console and nats-server for that answer, mean"),
            )
        },
        "worker_cpu_ratio": "CPU of the worker with the pages open over that without: median of the pairs",
        "worker_cpu_ratio_min": "the least of the pairs",
        "worker_cpu_ratio_max": "the greatest of the pairs",
        "server_cpu_ratio": "the same for nats-server, median",
        "server_cpu_percent": "what the pages add to the CPU of nats-server, percent of a core, median",
        "web_cpu_percent": "CPU of the console with the pages open, percent of a core, median",
        "web_idle_cpu_percent": "CPU of the console without them",
        "answers_per_s": "answers to the open pages, a second",
        "answer_p50_ms": "from request to answer of an open page beside the sagas, median",
        "answer_p99_ms": "the same, 99th percentile",
        "refused": "answers to open pages that were errors, of all pairs",
        "sagas_per_s": "sagas that ended, a second",
    },
    "a network; the browser's work for pages that stay open; pages of sagas with thousands of items. The open pages "
    "show the sagas that this load has run, not the many stored ones.",
)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Options. `loads` of each page give its median."""

    live: int = 100_000
    archived: int = 1_000_000
    loads: int = 9
    beside: Beside = Beside()

    def scaled(self, scale: float) -> Load:
        """Return a load of this part of the size."""
        return Load(
            live=max(100, int(self.live * scale)),
            archived=max(1, int(self.archived * scale)),
            loads=max(1, int(self.loads * min(1.0, scale))),
            beside=self.beside.scaled(scale),
        )


def cases(load: Load) -> list[Case]:
    """Return the one case."""
    labels = {"live": load.live, "archived": load.archived, "pages": load.beside.pages}
    return [Case(dict(labels), partial(measure, load))]


async def measure(load: Load) -> Figures:
    """Fill a fresh server and look at it in a browser; then keep pages open beside sagas, on another."""
    found = await _painted(load)
    found |= await trio.to_thread.run_sync(beside, load.beside)
    return {name: found[name] for name in BENCH.figures}


async def _painted(load: Load) -> Figures:
    sizes = Sizes(load.live, load.archived, 0)
    with servers(sync="relaxed") as running:
        async with open_jetstream(Connection(servers=(running.url,), ack_timeout=PATIENCE), names=Names()) as store:
            await fill(store, sizes)
            async with trio.open_nursery() as nursery:
                await nursery.start(_renew, store, sizes)
                found = await trio.to_thread.run_sync(_paint, running, load.loads)
                nursery.cancel_scope.cancel()
    return found


async def _renew(
    store: JetStreamStore, sizes: Sizes, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    for number in count():
        await put_lease(store, sizes, backlog=0.0)
        if not number:
            task_status.started()
        await trio.sleep(RENEWAL)


def _paint(running: Servers, loads: int) -> Figures:
    with console(running.url) as shown:
        return paints(shown, running, loads)
