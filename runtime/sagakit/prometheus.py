"""The metrics of a runtime for a Prometheus registry. Needs the extra `prometheus`.

    from prometheus_client import REGISTRY
    from sagakit.prometheus import RuntimeCollector

    async with sagakit.open_runtime("nats://localhost", sagas=[PlaceOrder(shop)]) as runtime:
        REGISTRY.register(RuntimeCollector(runtime))

`sagakit worker --health` serves them without any code. docs/metrics.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf

from sagakit.client.api import RuntimeApi
from sagakit.client.metrics import METRICS, MetricReading, MetricRow
from sagakit.extras import named
from sagakit.system.tally import HistogramReading

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as _error:
    raise named(_error, __name__, "prometheus") from None

PREFIX = "sagakit_"


class RuntimeCollector(Collector):
    """Collects the metrics of one runtime, of either face, in any thread. One registry takes one runtime."""

    def __init__(self, runtime: RuntimeApi) -> None:
        self._runtime = runtime

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values: registering reads nothing."""
        return families(())

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        return families(self._runtime.readings())


def families(readings: Iterable[MetricReading]) -> Iterator[Metric]:
    """Yield every metric as a family with its readings; one without readings has its HELP and TYPE alone."""
    found: dict[str, list[MetricReading]] = {}
    for reading in readings:
        found.setdefault(reading.metric.name, []).append(reading)
    for metric in METRICS:
        yield _family(metric, found.get(metric.name, []))


def _family(metric: MetricRow, readings: list[MetricReading]) -> Metric:
    name, text, labels = PREFIX + metric.name, metric.help, metric.labels
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for _, values, value in readings:
            assert isinstance(value, HistogramReading)
            buckets = [("+Inf" if bound == inf else repr(bound), float(count)) for bound, count in value.buckets]
            histogram.add_metric(values, buckets=buckets, sum_value=value.sum)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(name, text, labels=labels)
    for _, values, value in readings:
        assert not isinstance(value, HistogramReading)
        family.add_metric(values, float(value))
    return family
