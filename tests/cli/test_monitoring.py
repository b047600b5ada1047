"""The dashboard and the alert rules: every metric, label and runbook in them exists, and every metric is used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sagakit.cli.app import app
from sagakit.cli.monitoring import ALERTS, dashboard
from sagakit.cli.monitoring import alerts as alert_rules
from sagakit.client.metrics import METRICS, MetricRow
from sagakit.prometheus import PREFIX
from typer.testing import CliRunner

from tests.docs.test_architecture_page import anchor, headings

PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"
TOKEN = re.compile(r'"[^"]*"|\$?\w+|[=!]~?|\S')
"""The tokens of PromQL, as far as these expressions use it."""
BY_PROMETHEUS = {"le", "instance", "process"}
"""Labels that Prometheus itself adds, and `sagakit worker --processes`."""


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(alert_rules())["groups"][0]["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(dashboard())["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in panels() for target in panel["targets"])


EXPRESSIONS = sorted(set(expressions()))


def used(expr: str) -> dict[str, set[str]]:
    """Return the metrics in an expression, each with the labels that are selected from it, in braces."""
    tokens = TOKEN.findall(expr)
    found: dict[str, set[str]] = {}
    for place, token in enumerate(tokens):
        if not token.startswith(PREFIX):
            continue
        labels = found.setdefault(token, set())
        if tokens[place + 1 : place + 2] == ["{"]:
            end = tokens.index("}", place)
            labels |= {word for word in tokens[place + 2 : end] if re.fullmatch(r"\w+", word)}
    return found


def grouped(expr: str) -> set[str]:
    """Return the labels by which an expression groups or joins."""
    return {word for inner in re.findall(r"\b(?:by|on) \(([^)]*)\)", expr) for word in re.findall(r"\w+", inner)}


def metric_of(name: str) -> MetricRow | None:
    """Return the metric of a series in an expression; None if there is none."""
    for metric in METRICS:
        histogram = metric.kind == "histogram"
        if name in {PREFIX + metric.name + end for end in (("_bucket", "_sum", "_count") if histogram else ("",))}:
            return metric
    return None


def mistakes(expr: str) -> list[str]:
    """Return what an expression says of metrics and labels that there are not, and counters used without a rate."""
    found = list[str]()
    labels = set[str]()
    for name, selected in used(expr).items():
        metric = metric_of(name)
        if metric is None:
            found.append(f"no metric {name}")
            continue
        labels |= set(metric.labels)
        found += [f"{name} has no label {label}" for label in sorted(selected - set(metric.labels))]
        if metric.kind != "gauge" and not re.search(rf"\b(rate|increase)\({name}\b", expr):
            found.append(f"{name} only grows: take its rate")
    return [*found, *(f"no label {label}" for label in sorted(grouped(expr) - labels - BY_PROMETHEUS))]


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_an_expression_names_metrics_and_labels_that_exist(expr: str) -> None:
    assert used(expr)
    assert mistakes(expr) == []


@pytest.mark.parametrize(
    ("expr", "says"),
    [
        ("sum(sagakit_sagas_stuck) > 0", "no metric sagakit_sagas_stuck"),
        ('sagakit_sagas{state="stuck"} > 0', "sagakit_sagas has no label state"),
        ("sum by (id) (sagakit_sagas) > 0", "no label id"),
        ("sagakit_fenced_total > 0", "sagakit_fenced_total only grows: take its rate"),
        ("rate(sagakit_record_write_duration_seconds[5m])", "no metric sagakit_record_write_duration_seconds"),
    ],
)
def test_a_wrong_expression_is_found(expr: str, says: str) -> None:
    assert says in mistakes(expr)


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {metric.name for panel in panels() for target in panel["targets"] for name in used(target["expr"])
             if (metric := metric_of(name)) is not None}  # fmt: skip
    assert shown == {metric.name for metric in METRICS}


def test_the_legends_of_a_panel_name_labels_that_its_curve_has() -> None:
    for panel in panels():
        for target in panel["targets"]:
            legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            names = {label for name in used(target["expr"]) if (row := metric_of(name)) for label in row.labels}
            kept = grouped(target["expr"]) if " by " in target["expr"] else names | BY_PROMETHEUS
            assert legend <= kept, panel["title"]


def test_the_panels_have_places_and_numbers_that_no_other_has() -> None:
    found = json.loads(dashboard())["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in found}) == len(found)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in found)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_is_complete_and_has_a_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert re.fullmatch(r"\d+m", rule["for"])
    texts = rule["annotations"]
    labels = {label for name in used(rule["expr"]) if (metric := metric_of(name)) for label in metric.labels}
    kept = grouped(rule["expr"]) if " by " in rule["expr"] else labels | BY_PROMETHEUS
    assert set(re.findall(r"\$labels\.(\w+)", texts["summary"])) <= kept
    page, _, fragment = texts["runbook_url"].partition("#")
    assert page == "docs/alerts.md"
    assert fragment in {anchor(heading) for heading in headings(PAGE)}


def test_every_runbook_has_an_alert() -> None:
    found = re.findall(r"^## What do I do about (\w+)\?$", PAGE.read_text(), flags=re.MULTILINE)
    assert found == [alert.name for alert in ALERTS]


def test_the_command_prints_both_files() -> None:
    assert json.loads(CliRunner().invoke(app, ["metrics", "dashboard"]).stdout) == json.loads(dashboard())
    shown = CliRunner().invoke(app, ["metrics", "alerts", "--runbooks", "https://wiki/alerts"]).stdout
    links = [rule["annotations"]["runbook_url"] for rule in yaml.safe_load(shown)["groups"][0]["rules"]]
    assert links[0] == "https://wiki/alerts#what-do-i-do-about-sagakitnoworkerready"
    assert CliRunner().invoke(app, ["metrics", "nonsense"]).exit_code == 2
