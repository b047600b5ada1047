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

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sagakit.cli.listening import answering
from sagakit.client.metrics import METRICS, MetricReading
from sagakit.client.runtime import Runtime
from sagakit.prometheus import families

_log = logging.getLogger("sagakit.health")

READY = next(metric for metric in METRICS if metric.name == "ready")
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
        """Yield the metrics that docs/metrics.md lists, and the worker's id. All names start with `sagakit_`."""
        if self.runtime is not None:
            info = InfoMetricFamily("sagakit_worker", "The id of this worker.")
            info.add_metric([], {"worker_id": self.runtime.worker_id})
            yield info
        # a process is not ready before its runtime is open, and says so from the moment of a signal on
        readings = [] if self.runtime is None else self.runtime.readings()
        ready = MetricReading(READY, (), float(self.why_not_ready is None))
        yield from families([ready, *(reading for reading in readings if reading.metric is not READY)])


@asynccontextmanager
async def open_health(listening: socket.socket, health: Health) -> AsyncIterator[str]:
    """Answer over HTTP while the context is open. Yields the URL."""
    async with answering(listening, _app(health)) as url:
        _log.info("health at %s/live, /ready and /metrics", url, extra={"url": url})
        yield url


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
