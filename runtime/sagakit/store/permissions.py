"""The least that an account of NATS needs, by what it is for. The one place: docs, command and tests take it from here.

    setup    makes buckets and streams, once
    worker   runs sagas; makes nothing
    client   starts sagas, sends them messages, asks workers, reads
    reader   reads

A role's subjects are those of one namespace. Each is listed with what it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import msgspec

from sagakit.store.names import Names

Role: TypeAlias = Literal["setup", "worker", "client", "reader"]
ROLES: tuple[Role, ...] = ("setup", "worker", "client", "reader")


class Grant(msgspec.Struct, frozen=True):
    """One subject, and what for."""

    subject: str
    why: str


class Permissions(msgspec.Struct, frozen=True):
    """What one role may do. `responses`: answer the requests that it gets, wherever their answers are awaited."""

    publish: tuple[Grant, ...]
    subscribe: tuple[Grant, ...]
    responses: bool = False


def streams_of(names: Names) -> list[str]:
    """Every stream, the buckets' ones first, in the order in which they are made."""
    return [f"KV_{bucket}" for bucket in _buckets(names)] + [*names.events, names.inbox]


def permissions_of(role: Role, names: Names, *, inbox_prefix: str) -> Permissions:
    """The role's permissions; its accounts have `inbox_prefix` as option `inbox_prefix`, best one of their own."""
    inbox = Grant(f"{inbox_prefix}.>", "answers to its own requests")
    return _MAKERS[role](names, inbox)


def _setup(names: Names, inbox: Grant) -> Permissions:
    made = (
        grant
        for stream in streams_of(names)
        for grant in (
            Grant(f"$JS.API.STREAM.INFO.{stream}", "is it there, and as it must be"),
            Grant(f"$JS.API.STREAM.CREATE.{stream}", "make it"),
        )
    )
    layout = (
        Grant(f"$JS.API.STREAM.MSG.GET.KV_{names.meta}", "read schema and number of shards"),
        Grant(f"$KV.{names.meta}.layout", "write them, once"),
    )
    return Permissions((_SERVER, *made, *layout), (inbox,))


def _worker(names: Names, inbox: Grant) -> Permissions:
    publish = (
        _SERVER,
        *_reads(names),
        *(Grant(f"$KV.{bucket}.>", "write records, by compare-and-set, and end markers") for bucket in names.state),
        *(Grant(f"$KV.{bucket}.>", "archive what has ended") for bucket in names.archive),
        Grant(f"$KV.{names.meta}.plan.>", "keep the plans of its definitions"),
        Grant(f"$KV.{names.workers}.>", "write and renew its lease"),
        Grant(f"$JS.API.STREAM.PURGE.KV_{names.workers}", "hand back its lease"),
        *(
            Grant(f"$JS.API.STREAM.PURGE.KV_{bucket}", "`Runtime.delete`: leave it out where nobody deletes")
            for bucket in (*names.state, *names.archive)
        ),
        Grant(names.subject("saga.>"), "events"),
        Grant(names.subject("sagain.>"), "messages to other sagas: children, parents"),
        Grant(names.subject("sagactl.>"), "requests to other workers"),
        Grant(f"$JS.API.STREAM.INFO.{names.inbox}", "is the inbox there"),
        Grant(f"$JS.API.CONSUMER.INFO.{names.inbox}.>", "is there a consumer for its types"),
        Grant(f"$JS.API.CONSUMER.CREATE.{names.inbox}.>", "make it, where it is not"),
        Grant(f"$JS.API.CONSUMER.MSG.NEXT.{names.inbox}.>", "take messages"),
        Grant(f"$JS.ACK.{names.inbox}.>", "acknowledge them"),
    )
    changes = (Grant(f"$KV.{bucket}.>", "changes of records and leases") for bucket in (*names.state, names.workers))
    subscribe = (inbox, Grant(names.subject("sagactl.>"), "requests from clients and workers"), *changes)
    return Permissions(publish, subscribe, responses=True)


def _client(names: Names, inbox: Grant) -> Permissions:
    read = _reader(names, inbox)
    more = (
        Grant(names.subject("sagain.>"), "start sagas, signals, cancels, operators' verbs"),
        Grant(names.subject("sagactl.>"), "ask workers"),
    )
    return Permissions((*read.publish, *more), read.subscribe)


def _reader(names: Names, inbox: Grant) -> Permissions:
    changes = (Grant(f"$KV.{bucket}.>", "changes of records") for bucket in names.state)
    return Permissions(
        (_SERVER, *_reads(names), Grant(f"$JS.API.STREAM.INFO.{names.inbox}", "how many messages wait")),
        (inbox, *changes, Grant(names.subject("saga.>"), "events as they come")),
    )


_SERVER = Grant("$JS.API.INFO", "is JetStream on, and new enough")


def _reads(names: Names) -> Iterator[Grant]:
    """Reading every bucket and the events: one record, and scans by a consumer that is removed again."""
    for bucket in _buckets(names):
        yield Grant(f"$JS.API.STREAM.MSG.GET.KV_{bucket}", "read one key, from the leader")
    for stream in [stream for stream in streams_of(names) if stream != names.inbox]:
        yield Grant(f"$JS.API.STREAM.INFO.{stream}", "is it there, and how far it goes")
        for call in ("CREATE", "INFO", "MSG.NEXT", "DELETE"):
            yield Grant(f"$JS.API.CONSUMER.{call}.{stream}.>", "scan it")


def _buckets(names: Names) -> list[str]:
    return [names.meta, *names.state, *names.archive, names.workers]


_MAKERS: dict[Role, Callable[[Names, Grant], Permissions]] = {
    "setup": _setup, "worker": _worker, "client": _client, "reader": _reader,
}  # fmt: skip
