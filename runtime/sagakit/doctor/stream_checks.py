"""The checks of buckets and streams: missing, made wrong, without their replicas, full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sagakit.doctor.finding import Seen, bad, graded, named, ok, skipped, warn
from sagakit.doctor.patient import Patient, StreamInfo
from sagakit.doctor.server_checks import ALMOST, FULL
from sagakit.errors import LayoutMissing, ServerError
from sagakit.jetstream.server_check import BATCHES, BATCHES_LEVEL, names_there
from sagakit.store.names import Names
from sagakit.store.permissions import batched_streams, needed_streams, optional_streams, streams_of
from sagakit.store.ports import DUPLICATES

SECOND = 10**9


async def there(patient: Patient) -> Seen:
    """Check that no bucket or stream is missing."""
    wanted = streams_of(patient.names)
    missing = [name for name in wanted if await patient.stream(name) is None]
    if not missing:
        return ok(f"all {len(wanted)} streams exist", 0)
    text = f"of {len(wanted)} streams, {len(missing)} are missing: {named(missing, 8)}"
    if set(missing) & set(needed_streams(patient.names)):
        return bad(text, len(missing))
    users = [user for name, user in optional_streams(patient.names).items() if name in missing]
    return warn(f"{text}; only {' and '.join(users)} need that", len(missing))


async def settings(patient: Patient) -> Seen:
    """Check the settings that the promises rest on, then those that options name."""
    streams = await patient.streams()
    if not streams:
        return skipped("there are no streams: see SK201")
    wrong = await _layout(patient)
    required = required_settings(patient.names)
    wrong += [
        f"{name} has {text}" for name, info in streams.items() for text in _differing(info.config, required[name])
    ]
    if wrong:
        return bad("; ".join(wrong), len(wrong))
    other = [
        f"{name} has {text}"
        for name, options in _optional_settings(patient).items()
        if name in streams
        for text in _differing(streams[name].config, options)
    ]
    if other:
        return warn(f"made with other options than these: {'; '.join(other)}", len(other))
    return ok(f"the settings of {len(streams)} streams are as they must be", 0)


def required_settings(names: Names) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings that each stream must have. Times are in nanoseconds."""
    bucket = {"max_msgs_per_subject": 1, "allow_direct": False, "allow_rollup_hdrs": True, "retention": "limits"}
    lasting = bucket | {"max_age": 0}
    state = lasting | {"allow_msg_ttl": True, "discard": "new", "subject_delete_marker_ttl": 0}
    found: dict[str, dict[str, Any]] = {
        f"KV_{names.meta}": lasting,
        f"KV_{names.workers}": lasting,
        f"KV_{names.values}": lasting | {"discard": "new"},
        f"KV_{names.jobs}": bucket,
        **{f"KV_{name}": state for name in names.state},
        **{f"KV_{name}": bucket for name in names.archive},
    }
    for name in list(found):
        found[name] = found[name] | {"subjects": [f"$KV.{name.removeprefix('KV_')}.>"]}
    for shard, name in enumerate(names.events):
        found[name] = {"subjects": names.event_subjects(shard), "retention": "limits"}
    found[names.inbox] = {
        "subjects": names.inbox_subjects,
        "retention": "workqueue",
        "duplicate_window": round(DUPLICATES * SECOND),
    }
    for name, subject in ((names.commands, names.command_subject(">")), (names.intake, names.intake_subject(">"))):
        found[name] = found[names.inbox] | {"subjects": [subject], "discard": "new"}
    found[names.dead] = {"subjects": [names.subject("sagadead.>")]}
    return found


def _optional_settings(patient: Patient) -> Mapping[str, Mapping[str, Any]]:
    """Return the settings that are options of a runtime: a stream that exists keeps those that it was made with."""
    names, config = patient.names, patient.config
    replicas = {} if config.replicas is None else {"num_replicas": config.replicas}
    every = {"storage": config.storage} | replicas
    found = {name: dict(every) for name in streams_of(names)}
    for name in names.archive:
        found[f"KV_{name}"]["max_age"] = round(config.archive_ttl * SECOND)
    for name in names.events:
        found[name]["max_age"] = round((config.events_ttl or 0.0) * SECOND)
    for name in names.state:
        found[f"KV_{name}"]["max_bytes"] = config.state_max_bytes or -1
    return found


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for field, value in wanted.items():
        has = found.get(field)
        if isinstance(value, list):
            if sorted(has or ()) != sorted(value):
                yield f"{field} {', '.join(has or ()) or 'empty'} in place of {', '.join(value)}"
        elif (has or None) != (value or None):  # the server leaves out false and 0
            yield f"{field} {has!r} in place of {value!r}"


async def _layout(patient: Patient) -> list[str]:
    """Return what is wrong with the key `layout`, which says how many shards there are."""
    try:
        found = await names_there(patient.wire, patient.names.namespace)
    except LayoutMissing:
        return [f"{patient.names.meta} has no key `layout`: `sagakit setup` has not come to its end"]
    except ServerError as error:
        return [str(error)]
    given = patient.config.shards
    if found.shards == given:
        return []
    return [f"the buckets were made with shards={found.shards}, these options say shards={given}"]


async def replicas(patient: Patient) -> Seen:
    """Check that each stream has its leader and its copies."""
    streams = await patient.streams()
    if not streams:
        return skipped("there are no streams: see SK201")
    headless = [name for name, info in streams.items() if not info.cluster.leader]
    if headless:
        return bad(f"without a leader: {named(headless)}", len(headless))
    lagging = [f"{name} on {server}" for name, info in streams.items() for server in _absent(info)]
    if lagging:
        return warn(f"copies that are offline or behind: {named(lagging)}", len(lagging))
    alone = [name for name, info in streams.items() if info.cluster.name and info.config.get("num_replicas") == 1]
    if alone:
        return warn(f"on a cluster, but with one copy: {named(alone)}", len(alone))
    copies = sorted({info.config.get("num_replicas", 1) for info in streams.values()})
    return ok(f"each stream has its leader and its copies ({' or '.join(map(str, copies))})", 0)


def _absent(info: StreamInfo) -> Iterator[str]:
    return (replica.name for replica in info.cluster.replicas if replica.offline or not replica.current)


async def batches(patient: Patient) -> Seen:
    """Check that the streams that every saga writes to take atomic batches, on a server that has them."""
    if await patient.api_level() < BATCHES_LEVEL:
        return skipped(f"nats-server {patient.version} has no atomic batches; 2.12 and newer have")
    streams = await patient.streams()
    if not streams:
        return skipped("there are no streams: see SK201")
    wanted = [name for name in batched_streams(patient.names) if name in streams]
    without = [name for name in wanted if not streams[name].config.get(BATCHES)]
    if without:
        return warn(f"without {BATCHES}: {named(without, 8)}", len(without))
    return ok(f"{len(wanted)} streams take atomic batches", 0)


async def room(patient: Patient) -> Seen:
    """Check how full the buckets and streams with a limit are."""
    streams = await patient.streams()
    if not streams:
        return skipped("there are no streams: see SK201")
    shares = {
        name: info.state.bytes / limit
        for name, info in streams.items()
        if (limit := info.config.get("max_bytes", -1)) > 0
    }
    if not shares:
        return ok("no bucket or stream has a limit", 0.0)
    fullest = max(shares, key=lambda name: shares[name])
    return graded(f"{fullest} is {shares[fullest]:.0%} full", shares[fullest], warn_from=ALMOST, bad_from=FULL)
