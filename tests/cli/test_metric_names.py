"""Names of metrics: they follow the conventions of Prometheus, and are a promise, which a file keeps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sagakit.cli.health import Health
from sagakit.client.metrics import METRICS, MetricRow
from sagakit.prometheus import PREFIX, RuntimeCollector
from sagakit.store.memory_server import MemoryServer
from sagakit.system.tally import ATTEMPT_BOUNDS, WRITE_BOUNDS

from tests.looks import settled
from tests.sagas import BookTrip, Trip
from tests.system.members import member

FROZEN = Path(__file__).parent / "metrics.json"
"""The names, kinds and labels that users have in their dashboards. Only add to it; a change breaks them."""
WRONG_UNITS = re.compile(r"_(ms|us|ns|millis\w*|micros\w*|minutes|hours|days|kib|mib|kb|mb|percent)(_|$)")
each_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


def lint(metric: MetricRow) -> list[str]:
    """Return what is wrong with a metric's name, labels and texts."""
    name, found = metric.name, list[str]()
    words = name.removesuffix("_total").split("_")
    if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name):
        found.append("not snake case")
    if name.endswith("_total") != (metric.kind == "counter"):
        found.append("_total is for counters, and each counter has it")
    if re.search(r"_(count|sum|bucket|info|created)$", name):
        found.append("an ending that Prometheus uses itself")
    if WRONG_UNITS.search(name):
        found.append("not a base unit: seconds, bytes or ratio")
    if metric.help.startswith(("Seconds", "Age")) and words[-1] != "seconds":
        found.append("a time without its unit")
    if metric.kind == "histogram" and words[-1] not in ("seconds", "bytes"):
        found.append("a histogram without a unit")
    if "id" in metric.labels or "key" in metric.labels:
        found.append("a label with as many values as there are sagas")
    if not all(re.fullmatch(r"[a-z]+", label) for label in metric.labels):
        found.append("a label that is not a plain word")
    if not re.fullmatch(r"[A-Z1].*\.", metric.help) or len(metric.help.split()) < 4:
        found.append("help that is not a sentence")
    if metric.worry and not metric.worry.endswith("."):
        found.append("advice that is not a sentence")
    return found


@each_metric
def test_a_metric_follows_the_conventions(metric: MetricRow) -> None:
    assert lint(metric) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "sagasStarted_total"}, "not snake case"),
        ({"name": "sagas_started"}, "_total is for counters, and each counter has it"),
        ({"name": "sagas_count"}, "an ending that Prometheus uses itself"),
        ({"name": "sagas_age_ms_total"}, "not a base unit: seconds, bytes or ratio"),
        ({"help": "Seconds of all sagas together."}, "a time without its unit"),
        ({"labels": ("type", "id")}, "a label with as many values as there are sagas"),
        ({"help": "sagas that began"}, "help that is not a sentence"),
    ],
)
def test_the_lint_finds_a_mistake(change: dict[str, object], says: str) -> None:
    started = next(metric for metric in METRICS if metric.name == "sagas_started_total")
    assert says in lint(started._replace(**change))  # type: ignore[arg-type]  # of several types


def test_no_metric_has_the_name_of_another() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_names_kinds_labels_and_buckets_are_those_that_users_have_in_their_dashboards() -> None:
    frozen = json.loads(FROZEN.read_text())
    found = {PREFIX + metric.name: {"kind": metric.kind, "labels": list(metric.labels)} for metric in METRICS}
    assert frozen["metrics"] == found, "see the docstring of FROZEN"
    assert frozen["buckets"] == {"attempts": list(ATTEMPT_BOUNDS), "writes": list(WRITE_BOUNDS)}


async def test_the_text_for_prometheus_has_every_metric_with_its_help_and_values(autojump_clock: object) -> None:
    registry = CollectorRegistry()
    async with member(MemoryServer(), BookTrip()) as running:
        registry.register(RuntimeCollector(running.runtime))
        await settled(await running.runtime.start(BookTrip, "one", Trip(refuse="flight")))
        text = generate_latest(registry).decode()
        flat = running.runtime.metrics()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(families) == {PREFIX + metric.name.removesuffix("_total") for metric in METRICS}
    for metric in METRICS:
        family = families[PREFIX + metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
    samples = {
        (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples == {
        (name.partition("{")[0], frozenset(re.findall(r'(\w+)="([^"]*)"', name))): value for name, value in flat.items()
    }


async def test_a_registry_takes_a_runtime_without_reading_it() -> None:
    class Unreadable:
        def readings(self) -> None:
            raise AssertionError("it was read")

    CollectorRegistry().register(RuntimeCollector(Unreadable()))  # type: ignore[arg-type]  # a part of a runtime


def test_a_process_without_a_runtime_is_not_ready_and_has_the_names() -> None:
    found = {family.name: family for family in Health().metrics()}
    assert [sample.value for sample in found["sagakit_ready"].samples] == [0.0]
    assert "sagakit_sagas_started" in found
