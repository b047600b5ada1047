"""The health checks and metrics of a worker over HTTP. Needs the extra `worker`.

/live      200 while the trio loop runs; a blocked loop does not answer
/ready     200 while the worker takes sagas; otherwise 503 with the reason in JSON
/metrics   Prometheus text format
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sagakit.client.runtime import Runtime
from sagakit.errors import InvalidConfig

_log = logging.getLogger("sagakit.health")

STARTING, DRAINING, NOT_READY = "starting", "draining", "not connected to NATS, or no lease in force"


class Health:
    """The health of one worker process."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        """The runtime; None until it is open."""
        self.draining: bool = False
        """True once a signal has come."""

    @property
    def why_not_ready(self) -> str | None:
        """Reason why the worker does not take sagas; None if it takes them."""
        if self.draining:
            return DRAINING
        if self.runtime is None:
            return STARTING
        return None if self.runtime.ready else NOT_READY

    def metrics(self) -> Iterator[Metric]:
        """Yield the metrics. Names that end in `_total` are counters, the others gauges; all start with `sagakit_`."""
        ready = GaugeMetricFamily("sagakit_ready", "1 when this worker takes sagas.")
        ready.add_metric([], float(self.why_not_ready is None))
        yield ready
        if self.runtime is None:
            return
        info = InfoMetricFamily("sagakit_worker", "The id of this worker.")
        info.add_metric([], {"worker_id": self.runtime.worker_id})
        yield info
        for name, value in sorted(self.runtime.metrics().items()):
            if name == "ready":
                continue  # yielded above, for the whole process: it is 0 before the runtime is open
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            metric: Any = family(f"sagakit_{name}", METRICS[name])
            metric.add_metric([], value)
            yield metric


METRICS: dict[str, str] = {
    "sagas_active": "Sagas that have an actor in this worker now.",
    "sagas_passivated": "Sagas of this worker that wait for a time or a message, and need no actor meanwhile.",
    "adoptions_pending": "Records of other workers that this worker is about to take over.",
    "adopted_total": "Sagas that this worker has taken over.",
    "fenced_total": "Sagas that another worker has taken over while they ran in this one.",
    "overwritten_total": "Records that were overwritten from outside, by something that is not a worker.",
    "messages_sent_total": "Messages sent to the NATS server.",
    "clock_skew_seconds": "Seconds by which this machine's clock is ahead of the NATS server's.",
}
"""The HELP text of each metric of a runtime."""


def listen(address: str) -> socket.socket:
    """Return a socket that listens on `host:port`; port 0 picks one. Raises InvalidConfig."""
    host, colon, port = address.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal():
        raise InvalidConfig(f"health={address!r}: write HOST:PORT, such as 0.0.0.0:8080; port 0 picks one")
    try:
        return socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise InvalidConfig(f"health={address!r}: cannot listen there: {error}") from None


@asynccontextmanager
async def open_health(listening: socket.socket, health: Health) -> AsyncIterator[str]:
    """Answer over HTTP while the context is open. Yields the URL."""
    config = HypercornConfig()
    config.bind = [f"fd://{listening.detach()}"]
    config.errorlog = logging.getLogger("hypercorn")
    config.include_server_header = False
    config.graceful_timeout = 1.0
    closing = trio.Event()

    async def run(task_status: trio.TaskStatus[list[str]]) -> None:
        await serve(_app(health), config, shutdown_trigger=closing.wait, task_status=task_status)  # type: ignore[arg-type]  # Starlette's callable is wider than hypercorn's protocol

    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(run)
        _log.info("health at %s/live, /ready and /metrics", url, extra={"url": url})
        try:
            yield url
        finally:
            closing.set()


def _app(health: Health) -> Starlette:
    registry = CollectorRegistry()
    registry.register(_Collector(health.metrics))
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)

    async def live(request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(request: Request) -> Response:
        why = health.why_not_ready
        return JSONResponse({"ready": why is None} | ({} if why is None else {"why": why}), 200 if why is None else 503)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(routes=[Route("/live", live), Route("/ready", ready), Route("/metrics", metrics)])


class _Collector(Collector):
    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        return self._collect()
