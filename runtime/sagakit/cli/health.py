"""The health checks and metrics of a worker, or of several processes, over HTTP. Needs the extra `worker`.

/live      200 while the trio loop runs; a blocked loop does not answer
/ready     200 while all take sagas; otherwise 503 with the reason in JSON
/metrics   Prometheus text format
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Protocol

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


class HealthSource(Protocol):
    """The answers of the endpoint."""

    async def why_not_live(self) -> str | None:
        """Return the reason why a restart is needed; None if all loops run."""

    async def why_not_ready(self) -> str | None:
        """Return the reason why not all sagas are taken that could be; None if they are."""

    async def text(self) -> str:
        """Return the metrics in the text format of Prometheus."""
        ...


class Health:
    """The health of one worker process."""

    def __init__(self) -> None:
        self._registry = process_registry()
        self._registry.register(YieldedFamilies(self.metrics))
        self.runtime: Runtime | None = None
        """The runtime; None until it is open."""
        self.draining: bool = False
        """True once a signal has come."""

    async def why_not_live(self) -> str | None:
        """Return None: a loop that answers runs."""
        return None

    async def why_not_ready(self) -> str | None:
        """Return the reason why the worker does not take sagas; None if it takes them."""
        return self._why_not_ready

    async def text(self) -> str:
        """Return the metrics of sagakit, of the process and of Python."""
        return generate_latest(self._registry).decode()

    @property
    def _why_not_ready(self) -> str | None:
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
        ready = MetricReading(READY, (), float(self._why_not_ready is None))
        yield from families([ready, *(reading for reading in readings if reading.metric is not READY)])


@asynccontextmanager
async def open_health(listening: socket.socket, health: HealthSource) -> AsyncIterator[str]:
    """Answer over HTTP while the context is open. Yields the URL."""
    async with answering(listening, _app(health)) as url:
        _log.info("health at %s/live, /ready and /metrics", url, extra={"url": url})
        yield url


def _app(health: HealthSource) -> Starlette:
    async def live(request: Request) -> Response:
        return _verdict("live", await health.why_not_live())

    async def ready(request: Request) -> Response:
        return _verdict("ready", await health.why_not_ready())

    async def metrics(request: Request) -> Response:
        return Response(await health.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(routes=[Route("/live", live), Route("/ready", ready), Route("/metrics", metrics)])


def _verdict(name: str, why: str | None) -> Response:
    return JSONResponse({name: True}) if why is None else JSONResponse({name: False, "why": why}, 503)


def process_registry() -> CollectorRegistry:
    """Return a registry with the metrics of this process and of Python."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


class YieldedFamilies(Collector):
    """The metrics that a function yields, for a registry."""

    def __init__(self, found: Callable[[], Iterator[Metric]]) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they are now."""
        return self._found()
