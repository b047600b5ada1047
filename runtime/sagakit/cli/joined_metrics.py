"""Metrics of several processes as one text for Prometheus: each sample gets the label `process`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from sagakit.cli.health import YieldedFamilies


def joined(texts: Mapping[str, str]) -> str:
    """Return one text with the samples of all processes. `texts` has the metrics of each under its name."""
    registry = CollectorRegistry()
    registry.register(YieldedFamilies(partial(_families, texts)))
    return generate_latest(registry).decode()


def _families(texts: Mapping[str, str]) -> Iterator[Metric]:
    found: dict[str, Metric] = {}
    for process, text in texts.items():
        for family in text_string_to_metric_families(text):
            whole = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            whole.samples += [one._replace(labels={"process": process, **one.labels}) for one in family.samples]
    yield from found.values()
