"""The metrics of a worker: one table with each name, its meaning, and where its values come from.

`Runtime.metrics` and `Runtime.readings` read it, `sagakit.prometheus` hands it to Prometheus, docs/metrics.md is made
from it. Labels have few values: a type, a step, a status. A saga's id is not a label, since each would be a time series
for good; ids are in the events and in the log.

To add one: a row of METRICS, and a function that reads it. Reading must be possible in any thread, so a function copies
a dictionary before it goes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from sagakit.engine import SagaStatus
from sagakit.engine.record import Cause
from sagakit.system.tally import BuriedFrom, HistogramReading

if TYPE_CHECKING:
    from sagakit.binding.registry import Registry
    from sagakit.cluster.worker import Worker

Measured: TypeAlias = float | HistogramReading
_Labels: TypeAlias = Iterable[tuple[str, ...]]
_Samples: TypeAlias = Iterable[tuple[tuple[str, ...], Measured]]
_Reader: TypeAlias = "Callable[[Worker], _Samples]"


class MetricRow(NamedTuple):
    """A metric. Its name in Prometheus has `sagakit_` before it."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str
    """A sentence."""
    worry: str
    """Sentences that say when an operator should look; empty if the metric is for curves only."""
    read: _Reader
    """Returns the values, each with those of the labels, for any thread."""


class MetricReading(NamedTuple):
    """The value of a metric for one set of labels."""

    metric: MetricRow
    labels: tuple[str, ...]
    value: Measured


def readings_of(worker: Worker) -> list[MetricReading]:
    """Return all readings of a worker. For any thread."""
    return [MetricReading(metric, labels, value) for metric in METRICS for labels, value in metric.read(worker)]


def by_name(readings: Iterable[MetricReading]) -> dict[str, float]:
    """Return readings as Prometheus writes series, without `sagakit_`: `sagas_started_total{type="PlaceOrder"}`."""
    return dict(series for reading in readings for series in _series(reading))


def _series(reading: MetricReading) -> Iterator[tuple[str, float]]:
    name, value = reading.metric.name, reading.value
    pairs = dict(zip(reading.metric.labels, reading.labels, strict=True))
    if not isinstance(value, HistogramReading):
        yield _name(name, pairs), float(value)
        return
    for bound, count in value.buckets:
        yield _name(f"{name}_bucket", {**pairs, "le": "+Inf" if bound == inf else f"{bound!r}"}), float(count)
    yield _name(f"{name}_sum", pairs), value.sum
    yield _name(f"{name}_count", pairs), float(value.buckets[-1][1])


def _name(name: str, labels: Mapping[str, str]) -> str:
    # no value has a character that would have to be escaped: all are names of types, steps, or of our own
    return name + ("{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}" if labels else "")


# ---------------------------------------------------------------- reading


def _one(read: Callable[[Worker], float]) -> _Reader:
    """Return the reader of a metric without labels."""
    return lambda worker: [((), read(worker))]


def _adopting(read: Callable[[Worker], float]) -> _Reader:
    """Return the reader of a metric without labels that a runtime with `adopt=False` does not have."""
    return lambda worker: [((), read(worker))] if worker.adopts else []


def _with_zeros(read: _Reader, labels: Callable[[Registry], _Labels]) -> _Reader:
    """Return a reader that also reports 0 for labels that are known and have no value yet.

    Prometheus does not see the first increase of a series that begins with it.
    """

    def reader(worker: Worker) -> _Samples:
        zeros: dict[tuple[str, ...], Measured] = dict.fromkeys(labels(worker.registry) if worker.adopts else (), 0)
        return (zeros | dict(read(worker))).items()

    return reader


def _each_type(registry: Registry) -> _Labels:
    return [(name,) for name in registry.types]


def _each_status(registry: Registry) -> _Labels:
    return [(name, status) for name in registry.types for status in get_args(SagaStatus)]


def _each_end(registry: Registry) -> _Labels:
    for name in registry.types:
        yield name, "completed", ""
        for cause in get_args(Cause):
            yield name, "failed", cause


def _each_call(registry: Registry) -> _Labels:
    for binding in registry.bindings:
        for step, kind in binding.calls:
            yield binding.plan.saga_type, step, kind


def _each_undo(registry: Registry) -> _Labels:
    for name, step, kind in _each_call(registry):
        if kind == "undo":
            yield name, step, "undone"
            yield name, step, "failed"


def _events(suffix: str) -> _Reader:
    """Return the reader of a number of events, by type."""
    return _with_zeros(
        lambda worker: [((saga_type,), count) for saga_type, found, count in _counted(worker) if found == suffix],
        _each_type,
    )


def _counted(worker: Worker) -> Iterator[tuple[str, str, int]]:
    """Yield the numbers of events, each with the type and the suffix of the events."""
    for saga_type, events in worker.environment.tally.events.copy().items():
        for suffix, count in events.copy().items():
            yield saga_type, suffix, count


def _step_events(worker: Worker, ends: Mapping[str, str]) -> _Samples:
    """Return the numbers of events about steps, by type, step, and the label that the end of the suffix stands for."""
    for saga_type, suffix, count in _counted(worker):
        head, _, rest = suffix.partition(".")
        step, _, end = rest.partition(".")
        if head == "step" and end in ends:
            yield (saga_type, step, ends[end]), count


def _retries(worker: Worker) -> _Samples:
    return _step_events(worker, {"retrying": "do", "check_retrying": "check", "undo_retrying": "undo"})


def _compensations(worker: Worker) -> _Samples:
    return _step_events(worker, {"undone": "undone", "undo_failed": "failed"})


def _mailboxes(worker: Worker) -> _Samples:
    environment = worker.environment
    yield ("persistence",), environment.persistence.waiting
    yield ("publisher",), environment.publisher.waiting
    yield ("timers",), environment.timers.waiting
    yield ("isolation",), environment.isolation.waiting
    yield ("sagas",), worker.sagas.waiting


def _outbox_age(worker: Worker) -> float:
    oldest = worker.unpublished.oldest()
    return 0.0 if oldest is None else max(0.0, worker.store.clock.now() - oldest)


def _backlog(worker: Worker) -> _Samples:
    return [((saga_type, source), count) for (saga_type, source), count in worker.store.inbox.backlog().items()]


def _commands(worker: Worker) -> _Samples:
    return list(worker.command_backlog.items())


def _dead_letters(worker: Worker) -> _Samples:
    return list(worker.environment.tally.dead_letters.copy().items())


def _each_source(registry: Registry) -> _Labels:
    yield "", "inbox"
    for saga_type in registry.types:
        for source in get_args(BuriedFrom):
            yield saga_type, source


def _dead_commands(worker: Worker) -> _Samples:
    return [((service,), count) for service, count in worker.environment.tally.dead_commands.items()]


METRICS: tuple[MetricRow, ...] = (
    MetricRow(
        "ready", "gauge", (),
        "1 while this worker takes sagas: connected, with a lease in force, not draining.",
        "0 for minutes on one worker: that one has lost its server. 0 on all of them: nothing moves.",
        _one(lambda worker: worker.ready),
    ),
    MetricRow(
        "sagas", "gauge", ("type", "status"),
        "Sagas of this worker by the status of their records, active and passivated together.",
        'Any with `status="stuck"`: each waits for a person. Completed and failed ones wait to be archived, for '
        "moments; children wait until their parent has ended.",
        _with_zeros(lambda worker: worker.sagas.census.counts().items(), _each_status),
    ),
    MetricRow(
        "sagas_active", "gauge", (),
        "Sagas that have an actor in this worker now.",
        "At `max_active` for long: new sagas wait for a place.",
        _one(lambda worker: len(worker.sagas)),
    ),
    MetricRow(
        "sagas_passivated", "gauge", (),
        "Sagas of this worker that wait for a time or a message, and need no actor meanwhile.",
        "",
        _one(lambda worker: worker.sagas.passivated),
    ),
    MetricRow(
        "sagas_started_total", "counter", ("type",),
        "Sagas that this worker has started; a delayed one counts when it begins.",
        "The rate is 0 at a time at which orders come.",
        _events("started"),
    ),
    MetricRow(
        "sagas_ended_total", "counter", ("type", "status", "cause"),
        "Sagas that have ended in this worker, by status and, if they failed, by cause.",
        "The share of `exhausted` and `deadline` grows: a participant is down or slow. `rejected` is business.",
        _with_zeros(lambda worker: worker.environment.tally.ends.copy().items(), _each_end),
    ),
    MetricRow(
        "sagas_became_stuck_total", "counter", ("type",),
        "Times that a saga of this worker became stuck.",
        "It grows although the gauge of stuck sagas is 0: somebody mends them by hand, or by a script.",
        _events("stuck"),
    ),
    MetricRow(
        "step_retries_total", "counter", ("type", "step", "kind"),
        "Attempts that failed and are made again; the kind is do, check or undo.",
        "More than a few percent of the attempts of a step: look at its participant.",
        _with_zeros(_retries, _each_call),
    ),
    MetricRow(
        "step_compensations_total", "counter", ("type", "step", "result"),
        "Steps that were undone, and undos that were given up; the result is undone or failed.",
        'Any `result="failed"`: the saga is stuck, and its books do not balance until a person has helped.',
        _with_zeros(_compensations, _each_undo),
    ),
    MetricRow(
        "step_attempt_duration_seconds", "histogram", ("type", "step", "kind"),
        "Seconds of the attempts that have ended here, with the wait for the step's limit or for a thread.",
        "The 99th percentile comes near the step's timeout: attempts will be cut off, and be in doubt.",
        lambda worker: [(labels, found.read()) for labels, found in worker.environment.tally.attempts.copy().items()],
    ),
    MetricRow(
        "record_write_duration_seconds", "histogram", (),
        "Seconds from handing a record in until it is durable.",
        "The 99th percentile is above a second: JetStream is slow, or away. Each step waits for one write.",
        lambda worker: [((), worker.environment.tally.writes.read())],
    ),
    MetricRow(
        "mailbox_messages", "gauge", ("actor",),
        "Messages that wait for the worker's own actors, and for all of its sagas together.",
        "It grows without end: the worker has more work than it can do. Start more workers, or make `max_active` "
        "smaller.",
        _mailboxes,
    ),
    MetricRow(
        "outbox_events", "gauge", (),
        "Events of this worker's sagas that are durable in records and not in the log yet.",
        "",
        _one(lambda worker: worker.unpublished.count()),
    ),
    MetricRow(
        "outbox_age_seconds", "gauge", (),
        "Age of the oldest event of this worker's sagas that is not in the log yet, or 0.",
        "Above a minute while the worker is ready: the event stream refuses events. Read models fall behind, and sagas "
        "that have ended are not archived.",
        _one(_outbox_age),
    ),
    MetricRow(
        "inbox_backlog_messages", "gauge", ("type", "queue"),
        "Messages in the inbox that are not done with, of all workers together, as of the last look half a minute ago.",
        "`new` grows: there are too few workers. `parked` grows: messages come for sagas that nobody owns or that are "
        "not stored. `parked starts` grows: the workers are full, or the buckets are.",
        _backlog,
    ),
    MetricRow(
        "command_backlog_messages", "gauge", ("type", "consumer"),
        "Commands for sagas that are not acknowledged yet, of all workers together, as of the last look half a minute "
        "ago.",
        "It grows: commands come faster than the workers put them into the inbox, or the inbox is full.",
        _commands,
    ),
    MetricRow(
        "dead_letters_total", "counter", ("type", "source"),
        "Messages that this worker has given up and kept as dead letters; the source is inbox or intake, for commands "
        "that start and change sagas. The type is empty if the worker does not know it.",
        "Any: somebody sends messages that can never be applied. The reason is in the letter and in the log.",
        _with_zeros(_dead_letters, _each_source),
    ),
    MetricRow(
        "dead_commands", "gauge", ("service",),
        "Commands that participants have given up and that are kept as dead letters, of all participants together, as "
        "of the last look half a minute ago.",
        "Any: a participant cannot read what sagas send, and these sagas wait. `sagakit dead-letters list` says why.",
        _dead_commands,
    ),
    MetricRow(
        "large_value_sweeps_total", "counter", ("result",),
        "Searches of this worker for large values that nothing needs; the result is done or failed. One worker at a "
        "time searches, about once an hour.",
        "`failed` grows, and `done` grows on no worker: the bucket of the large values grows. The log says why.",
        lambda worker: [((name,), n) for name, n in worker.environment.tally.value_sweeps.items()],
    ),
    MetricRow(
        "large_values_removed_total", "counter", (),
        "Large values that this worker has removed, since nothing had needed them for a week.",
        "",
        _one(lambda worker: worker.environment.tally.values_removed),
    ),
    MetricRow(
        "lease_age_seconds", "gauge", (),
        "Seconds since the last acknowledged renewal of this worker's lease was sent.",
        "Above two thirds of `sagakit_lease_ttl_seconds`: at the ttl other workers take the sagas over.",
        _adopting(lambda worker: worker.environment.lease_status.age),
    ),
    MetricRow(
        "lease_ttl_seconds", "gauge", (),
        "Seconds after which a lease that is not renewed has lapsed, as the option lease_ttl says.",
        "",
        _adopting(lambda worker: worker.environment.config.lease_ttl),
    ),
    MetricRow(
        "loop_blocked_seconds_total", "counter", ("loop",),
        "Seconds in which an event loop of this worker did not turn, in blocks of more than a quarter of a second.",
        "It grows by more than a tenth of a second each second: a step blocks all sagas. The log names its line.",
        lambda worker: [((block.loop,), block.total) for block in worker.blocks()],
    ),
    MetricRow(
        "loop_longest_block_seconds", "gauge", ("loop",),
        "Seconds of the longest time in which an event loop of this worker did not turn.",
        "Near `sagakit_lease_ttl_seconds`: the worker came close to losing its sagas.",
        lambda worker: [((block.loop,), block.longest) for block in worker.blocks()],
    ),
    MetricRow(
        "adoptions_pending", "gauge", (),
        "Records of other workers that this worker is about to take over.",
        "Above 0 for minutes: no place is free here, or the records cannot be read. The log says which.",
        _one(lambda worker: worker.recovery.pending),
    ),
    MetricRow(
        "adopted_total", "counter", (),
        "Sagas that this worker has taken over.",
        "It grows although no worker was stopped: workers die, or lose their leases.",
        _one(lambda worker: worker.recovery.adopted),
    ),
    MetricRow(
        "fenced_total", "counter", (),
        "Sagas that another worker has taken over while they ran in this one.",
        "Any: this worker paused for longer than its lease, or was cut off from NATS. Steps may have run twice, under "
        "the same key.",
        _one(lambda worker: worker.environment.fenced_count),
    ),
    MetricRow(
        "overwritten_total", "counter", (),
        "Records that were overwritten from outside, by something that is not a worker.",
        "Any: somebody else may write to the buckets.",
        _one(lambda worker: worker.environment.overwritten_count),
    ),
    MetricRow(
        "reconnects_total", "counter", (),
        "Times that the connection to NATS was lost and came back.",
        "Several an hour: look at the network, and at the log of the server for slow consumers.",
        _one(lambda worker: worker.store.reconnects),
    ),
    MetricRow(
        "messages_sent_total", "counter", (),
        "Messages sent to the NATS server.",
        "",
        _one(lambda worker: worker.store.messages_sent),
    ),
    MetricRow(
        "clock_skew_seconds", "gauge", (),
        "Seconds by which this machine's clock is ahead of the NATS server's.",
        "More than a second either way: sagas go by the server's clock and are right; your logs are not.",
        _one(lambda worker: worker.store.clock.skew),
    ),
)  # fmt: skip
"""All metrics of a runtime."""
