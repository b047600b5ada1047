"""A Grafana dashboard and the alert rules of Prometheus, made from tables. `sagakit metrics` prints them.

Each alert has its runbook on docs/alerts.md. A test compares every name and label in the expressions with the metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

RUNBOOKS = "docs/alerts.md"
"""Address of the page with the runbooks, as far as this package knows."""
TYPE = 'type=~"$type"'
RATE = "[$__rate_interval]"
WHO = "{{instance}} {{process}}"
"""The legend of a curve of one worker. `sagakit worker --processes` adds the label `process`."""
WHICH = "{{ $labels.instance }}{{ with $labels.process }} process {{ . }}{{ end }}"
"""A worker in the summary of an alert."""
WIDTH, HEIGHT = 8, 8
"""Size of a panel: three in a row of the 24 columns that Grafana has."""


class Panel(NamedTuple):
    """A panel of the dashboard: curves, each with its legend, in one unit of Grafana."""

    title: str
    unit: str
    curves: tuple[tuple[str, str], ...]
    text: str = ""


class Alert(NamedTuple):
    """An alert rule. `lasts` is for how long the expression has to hold."""

    name: str
    expr: str
    lasts: str
    severity: Literal["critical", "warning"]
    summary: str


def _quantile(share: float, metric: str, by: str = "", where: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({metric}_bucket{where}{RATE})))"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Sagas",
        (
            Panel("Workers that take sagas", "short",
                  (("sum(sagakit_ready)", "ready"), ("count(sagakit_ready)", "all"))),
            Panel("Stuck sagas", "short", ((f'sum by (type) (sagakit_sagas{{status="stuck", {TYPE}}})', "{{type}}"),),
                  "Each waits for a person."),
            Panel("Sagas at work and waiting", "short",
                  (("sum(sagakit_sagas_active)", "active"), ("sum(sagakit_sagas_passivated)", "passivated"))),
            Panel("Started", "reqps",
                  ((f"sum by (type) (rate(sagakit_sagas_started_total{{{TYPE}}}{RATE}))", "{{type}}"),)),
            Panel("Ended", "reqps", ((
                f"sum by (status, cause) (rate(sagakit_sagas_ended_total{{{TYPE}}}{RATE}))", "{{status}} {{cause}}"),)),
            Panel("Became stuck, in an hour", "short",
                  ((f"sum by (type) (increase(sagakit_sagas_became_stuck_total{{{TYPE}}}[1h]))", "{{type}}"),)),
        ),
    ),
    (
        "Steps",
        (
            Panel("Attempts", "reqps", ((
                f"sum by (type, step) (rate(sagakit_step_attempt_duration_seconds_count{{{TYPE}}}{RATE}))",
                "{{type}} {{step}}"),)),
            Panel("Duration of attempts, 99th percentile", "s", ((
                _quantile(0.99, "sagakit_step_attempt_duration_seconds", "type, step", f"{{{TYPE}}}"),
                "{{type}} {{step}}"),)),
            Panel("Retries", "reqps", ((
                f"sum by (type, step, kind) (rate(sagakit_step_retries_total{{{TYPE}}}{RATE}))",
                "{{type}} {{step}} {{kind}}"),)),
            Panel("Compensations", "reqps", ((
                f"sum by (type, step, result) (rate(sagakit_step_compensations_total{{{TYPE}}}{RATE}))",
                "{{type}} {{step}} {{result}}"),)),
        ),
    ),
    (
        "Messages and events",
        (
            Panel("Inbox", "short", ((
                f"max by (type, queue) (sagakit_inbox_backlog_messages{{{TYPE}}})", "{{type}} {{queue}}"),),
                "All workers report the same queues."),
            Panel("Commands", "short", ((
                f"max by (type, consumer) (sagakit_command_backlog_messages{{{TYPE}}})", "{{type}} {{consumer}}"),),
                "All workers report the same consumers."),
            Panel("Dead letters, in an hour", "short",
                  (("sum by (type, source) (increase(sagakit_dead_letters_total[1h]))", "{{type}} {{source}}"),)),
            Panel("Dead letters of participants", "short",
                  (("max by (service) (sagakit_dead_commands)", "{{service}}"),),
                  "All workers report the same letters."),
            Panel("Age of the oldest unpublished event", "s", (("sagakit_outbox_age_seconds", WHO),)),
            Panel("Unpublished events", "short", (("sagakit_outbox_events", WHO),)),
            Panel("Messages in mailboxes", "short", (("sagakit_mailbox_messages", WHO + " {{actor}}"),)),
        ),
    ),
    (
        "Workers and NATS",
        (
            Panel("Duration of writes", "s", (
                (_quantile(0.5, "sagakit_record_write_duration_seconds"), "median"),
                (_quantile(0.99, "sagakit_record_write_duration_seconds"), "99th percentile"))),
            Panel("Age of the leases", "s", (
                ("sagakit_lease_age_seconds", WHO), ("min(sagakit_lease_ttl_seconds)", "lapsed at"))),
            Panel("Share of time for which the loop is blocked", "percentunit",
                  ((f"rate(sagakit_loop_blocked_seconds_total{RATE})", WHO + " {{loop}}"),)),
            Panel("Longest block of the loop so far", "s",
                  (("sagakit_loop_longest_block_seconds", WHO + " {{loop}}"),)),
            Panel("Taken over, fenced, overwritten, in an hour", "short", (
                ("sum(increase(sagakit_adopted_total[1h]))", "taken over"),
                ("sum(increase(sagakit_fenced_total[1h]))", "fenced"),
                ("sum(increase(sagakit_overwritten_total[1h]))", "overwritten"),
                ("sum(sagakit_adoptions_pending)", "pending"))),
            Panel("Messages to NATS", "reqps", ((f"rate(sagakit_messages_sent_total{RATE})", WHO),)),
            Panel("Reconnects, in an hour", "short", (("increase(sagakit_reconnects_total[1h])", WHO),)),
            Panel("Large values: searches and removals, in a day", "short", (
                ("sum by (result) (increase(sagakit_large_value_sweeps_total[1d]))", "searches {{result}}"),
                ("sum(increase(sagakit_large_values_removed_total[1d]))", "removed"))),
            Panel("Clock ahead of the server's", "s", (("sagakit_clock_skew_seconds", WHO),)),
        ),
    ),
)  # fmt: skip
"""The rows of the dashboard."""

ALERTS: tuple[Alert, ...] = (
    Alert("SagakitNoWorkerReady", "sum(sagakit_ready) == 0", "2m", "critical", "No worker takes sagas"),
    Alert(
        "SagakitWorkerNotReady", "sagakit_ready == 0", "5m", "warning", "Worker " + WHICH + " takes no sagas"
    ),
    Alert(
        "SagakitSagasStuck", 'sum by (type) (sagakit_sagas{status="stuck"}) > 0', "1m", "warning",
        "{{ $value }} sagas of {{ $labels.type }} are stuck",
    ),
    Alert(
        "SagakitUndoFailed",
        'sum by (type, step) (increase(sagakit_step_compensations_total{result="failed"}[10m])) > 0', "0m", "critical",
        "The undo of {{ $labels.type }} {{ $labels.step }} was given up",
    ),
    Alert(
        "SagakitStepFails",
        "sum by (type, step) (rate(sagakit_step_retries_total[5m]))"
        " / sum by (type, step) (rate(sagakit_step_attempt_duration_seconds_count[5m])) > 0.2",
        "10m", "warning",
        "More than a fifth of the attempts of {{ $labels.type }} {{ $labels.step }} fail",
    ),
    Alert(
        "SagakitSagasFail",
        'sum by (type) (rate(sagakit_sagas_ended_total{cause=~"exhausted|deadline"}[15m]))'
        " / sum by (type) (rate(sagakit_sagas_ended_total[15m])) > 0.05",
        "15m", "warning",
        "More than a twentieth of the sagas of {{ $labels.type }} fail although nobody refused them",
    ),
    Alert(
        "SagakitWritesSlow",
        "histogram_quantile(0.99, sum by (le) (rate(sagakit_record_write_duration_seconds_bucket[5m]))) > 1",
        "5m", "warning",
        "One in a hundred writes takes longer than a second",
    ),
    Alert(
        "SagakitOutboxOld", "sagakit_outbox_age_seconds > 60 and on (instance, process) sagakit_ready == 1", "2m",
        "warning",
        "Worker " + WHICH + " cannot publish an event for {{ $value }} s",
    ),
    Alert(
        "SagakitInboxGrows", "max by (type, queue) (sagakit_inbox_backlog_messages) > 1000", "10m", "warning",
        "{{ $value }} messages for {{ $labels.type }} wait in the queue {{ $labels.queue }}",
    ),
    Alert(
        "SagakitCommandsGrow", "max by (type, consumer) (sagakit_command_backlog_messages) > 1000", "10m", "warning",
        "{{ $value }} commands for {{ $labels.type }} wait for the consumer {{ $labels.consumer }}",
    ),
    Alert(
        "SagakitDeadLetters", "sum by (type, source) (increase(sagakit_dead_letters_total[10m])) > 0", "0m", "warning",
        "Messages of the {{ $labels.source }} for {{ $labels.type }} became dead letters",
    ),
    Alert(
        "SagakitDeadCommands", "max by (service) (sagakit_dead_commands) > 0", "0m", "warning",
        "Commands to {{ $labels.service }} are dead letters",
    ),
    Alert(
        "SagakitLeaseOld", "sagakit_lease_age_seconds > 0.8 * sagakit_lease_ttl_seconds", "0m", "warning",
        "Worker " + WHICH + " is about to lose its sagas: its lease is {{ $value }} s old",
    ),
    Alert(
        "SagakitLoopBlocked", "rate(sagakit_loop_blocked_seconds_total[5m]) > 0.1", "5m", "warning",
        "A step blocks the {{ $labels.loop }} loop of worker " + WHICH,
    ),
    Alert(
        "SagakitMailboxFull", "sagakit_mailbox_messages > 10000", "5m", "warning",
        "{{ $value }} messages wait for {{ $labels.actor }} in worker " + WHICH,
    ),
    Alert(
        "SagakitFenced", "increase(sagakit_fenced_total[10m]) > 0", "0m", "warning",
        "Worker " + WHICH + " has lost sagas to another worker while it ran them",
    ),
    Alert(
        "SagakitAdoptionsPending", "sagakit_adoptions_pending > 0", "10m", "warning",
        "Worker " + WHICH + " cannot take over {{ $value }} sagas",
    ),
    Alert(
        "SagakitOverwritten", "increase(sagakit_overwritten_total[10m]) > 0", "0m", "critical",
        "Something that is not a worker writes to the buckets",
    ),
    Alert(
        "SagakitValuesNotSwept",
        'sum(increase(sagakit_large_value_sweeps_total{result="failed"}[6h])) > 0'
        ' and sum(increase(sagakit_large_value_sweeps_total{result="done"}[6h])) == 0',
        "10m", "warning",
        "No worker has removed large values for six hours: {{ $value }} searches failed",
    ),
    Alert(
        "SagakitReconnects", "increase(sagakit_reconnects_total[1h]) > 5", "0m", "warning",
        "Worker " + WHICH + " has lost its connection {{ $value }} times in an hour",
    ),
    Alert(
        "SagakitClockSkew", "abs(sagakit_clock_skew_seconds) > 5", "10m", "warning",
        "The clock of worker " + WHICH + " is {{ $value }} s off",
    ),
)  # fmt: skip
"""The alert rules."""


def runbook(alert: Alert) -> str:
    """Return the heading of an alert's runbook."""
    return f"What do I do about {alert.name}?"


def alerts(runbooks: str = RUNBOOKS) -> str:
    """Return the alert rules as YAML. `runbooks` is the address of docs/alerts.md, or of a copy."""
    # each text is written as JSON, which is also YAML
    lines = ["groups:", "  - name: sagakit", "    rules:"]
    for alert in ALERTS:
        fragment = runbook(alert).lower().rstrip("?").replace(" ", "-")
        lines += [
            f"      - alert: {alert.name}",
            f"        expr: {json.dumps(alert.expr)}",
            f"        for: {alert.lasts}",
            f"        labels: {{severity: {alert.severity}}}",
            "        annotations:",
            f"          summary: {json.dumps(alert.summary)}",
            f"          runbook_url: {json.dumps(f'{runbooks}#{fragment}')}",
        ]
    return "\n".join(lines) + "\n"


def dashboard() -> str:
    """Return the dashboard as JSON, to be imported into Grafana. It asks for the data source and the saga types."""
    found = {
        "title": "sagakit",
        "uid": "sagakit",
        "tags": ["sagakit"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_SOURCE, _TYPES]},
        "panels": list(_panels()),
    }
    return json.dumps(found, indent=2) + "\n"


_SOURCE = {"name": "datasource", "label": "data source", "type": "datasource", "query": "prometheus"}
_TYPES = {
    "name": "type",
    "label": "type",
    "type": "query",
    "datasource": {"type": "prometheus", "uid": "${datasource}"},
    "query": "label_values(sagakit_sagas_started_total, type)",
    "refresh": 2,
    "includeAll": True,
    "multi": True,
    "current": {"text": "All", "value": "$__all"},
}


def _panels() -> Iterator[dict[str, Any]]:
    top, number = 0, 0
    for title, panels in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
            "panels": [],
        }
        top += 1
        for place, panel in enumerate(panels):
            number += 1
            across, down = place % 3 * WIDTH, place // 3 * HEIGHT
            yield _panel(number, panel) | {"gridPos": {"x": across, "y": top + down, "w": WIDTH, "h": HEIGHT}}
        top += -(-len(panels) // 3) * HEIGHT


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": None if "Clock" in panel.title else 0},
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expr, "legendFormat": legend}
            for place, (expr, legend) in enumerate(panel.curves)
        ],
    }
