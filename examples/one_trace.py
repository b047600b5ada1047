"""A saga in one trace: it crosses two services, and its first worker dies by `kill -9` in the middle.

    python examples/one_trace.py nats://127.0.0.1:4222

It prints the spans that the processes have exported, as a backend such as Jaeger or Tempo would show them. Needs
`pip install 'sagakit[otel]'`, and a server: `nats-server -js`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import sagakit
import trio
from opentelemetry.propagate import inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sagakit import Context, Saga, remote, step
from sagakit.otel import OtelTracing
from sagakit.participant import CommandContext, MemoryKeys, Service, open_participant

ORDER = "order-7"


@dataclass
class Order:
    total: int


class Buy(Saga[Order]):
    """Charge by the service `payments`, pack here, ship by the service `shipping`."""

    def __init__(self, worker: str) -> None:
        self.worker = worker

    charge = remote("payments.charge", str, send=lambda order, ctx: order.total, compensate=None)

    @step(charge, compensate=None)
    async def pack(self, order: Order, receipt: str, ctx: Context) -> str:
        if self.worker == "one":
            os.kill(os.getpid(), signal.SIGKILL)
        return f"parcel of {receipt}"

    ship = remote("shipping.ship", str, send=lambda order, ctx: ctx.result(Buy.pack), compensate=None, after=[pack])


payments, shipping = Service("payments"), Service("shipping")


@payments.endpoint("charge")
async def charge(total: int, ctx: CommandContext) -> str:
    return f"receipt for {total}"


@shipping.endpoint("ship")
async def ship(parcel: str, ctx: CommandContext) -> str:
    return "sent"


def provider(service: str, exporter: SpanExporter) -> TracerProvider:
    """Return the tracer provider of one process. A service of yours has a `BatchSpanProcessor` here."""
    found = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    found.add_span_processor(SimpleSpanProcessor(exporter))
    return found


async def worker_one(url: str) -> None:
    """Run a worker until it kills itself. Each of its spans is a line of its standard output."""
    exporter = ConsoleSpanExporter(service_name="worker one", formatter=lambda span: f"{span.to_json(indent=None)}\n")
    tracing = OtelTracing(provider("worker one", exporter))
    async with sagakit.open_runtime(url, sagas=[Buy("one")], worker_name="one", lease_ttl=1.0, tracing=tracing):
        await trio.sleep_forever()


async def place_order(url: str, exporter: SpanExporter) -> None:
    """Start the saga from a program with a trace of its own, such as a web application."""
    tracer = provider("front", exporter).get_tracer("front")
    async with sagakit.open_client(url) as client:
        with tracer.start_as_current_span("POST /orders"):
            trace = dict[str, str]()
            inject(trace)
            await client.start(Buy, ORDER, Order(30), trace=trace)


async def run(url: str) -> list[dict[str, Any]]:
    """Run the saga through both workers, and return the spans that all processes have exported."""
    exporter = InMemorySpanExporter()
    async with sagakit.open_runtime(url, sagas=[Buy("none")]):
        pass  # makes the streams, which `sagakit setup` does elsewhere
    async with (
        open_participant(url, payments, keys=MemoryKeys(), tracing=OtelTracing(provider("payments", exporter))),
        open_participant(url, shipping, keys=MemoryKeys(), tracing=OtelTracing(provider("shipping", exporter))),
        trio.open_nursery() as nursery,
    ):
        mortal = partial(trio.run_process, [sys.executable, __file__, "worker", url], capture_stdout=True, check=False)
        nursery.start_soon(place_order, url, exporter)
        ended = await mortal()
        tracing = OtelTracing(provider("worker two", exporter))
        async with sagakit.open_runtime(
            url, sagas=[Buy("two")], worker_name="two", lease_ttl=1.0, tracing=tracing
        ) as runtime:
            await (await runtime.get(Buy, ORDER)).outcome()
    lines = [*ended.stdout.decode().splitlines(), *(span.to_json() for span in exporter.get_finished_spans())]
    return [json.loads(line) for line in lines]


def tree(spans: list[dict[str, Any]], parent: str | None = None, depth: int = 0) -> Iterator[str]:
    """Yield a line for each span, below its parent, in the order of their starts."""
    names = {span["context"]["span_id"]: span["name"] for span in spans}
    for span in sorted(spans, key=lambda span: str(span["start_time"])):
        if span["parent_id"] == parent:
            told = span["status"].get("description") or ""
            linked = [f"linked to the {names[link['context']['span_id']]} before" for link in span["links"]]
            by = span["attributes"].get("sagakit.worker", "").partition("-")[0]
            service = f"worker {by}" if by else span["resource"]["attributes"]["service.name"]
            line = [f"{'  ' * depth}{span['name']}".ljust(24), service.ljust(11), *linked, told]
            yield " ".join(line).rstrip()
            yield from tree(spans, span["context"]["span_id"], depth + 1)


async def main(url: str) -> None:
    spans = await run(url)
    print(f"{len(spans)} spans of {len({span['context']['trace_id'] for span in spans})} trace")
    print(*tree(spans), sep="\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker", url]:
            trio.run(worker_one, url)
        case [url]:
            trio.run(main, url)
        case _:
            sys.exit(__doc__)
