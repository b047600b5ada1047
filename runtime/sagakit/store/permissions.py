"""The permissions that an account of NATS needs for each role, and no more. Docs, commands and tests read them here.

    setup    creates buckets and streams, once, and adds what a new version asks for
    worker   runs sagas; creates nothing
    participant  does steps of sagas that run elsewhere
    client   starts, signals and cancels sagas, and reads
    operator does everything that a client does, and helps sagas that are stuck
    reader   reads

The subjects of a role are those of one namespace. Each is listed with its purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from sagakit.store.names import Names

Role: TypeAlias = Literal["setup", "worker", "participant", "client", "operator", "reader"]
ROLES: tuple[Role, ...] = ("setup", "worker", "participant", "client", "operator", "reader")


class Grant(msgspec.Struct, frozen=True):
    """A subject, with the purpose that a role needs it for."""

    subject: str
    why: str


class Permissions(msgspec.Struct, frozen=True):
    """The rights of one role. With `responses` it may answer the requests that it gets, on their reply subjects."""

    publish: tuple[Grant, ...]
    subscribe: tuple[Grant, ...]
    responses: bool = False


def streams_of(names: Names) -> list[str]:
    """Return the names of all streams, in the order in which they are created."""
    return [*needed_streams(names), *optional_streams(names)]


def optional_streams(names: Names) -> dict[str, str]:
    """Return the names of the streams that a layout may lack, each with what needs it."""
    return {
        f"KV_{names.jobs}": "verbs for many sagas",
        names.commands: "remote steps",
        names.intake: "commands on the runtime's own stream",
        f"KV_{names.values}": "large values",
    }


def needed_streams(names: Names) -> list[str]:
    """Return the names of the streams without which nothing is opened."""
    return [f"KV_{bucket}" for bucket in _buckets(names)] + [*names.events, names.inbox, names.dead]


def batched_streams(names: Names) -> list[str]:
    """Return the names of the streams that are made to take atomic batches: those that every saga writes to."""
    return [*(f"KV_{bucket}" for bucket in (*names.state, *names.archive)), *names.events]


def permissions_of(role: Role, names: Names, *, inbox_prefix: str) -> Permissions:
    """Return a role's permissions. `inbox_prefix` is the option of that name that the role's programs use."""
    inbox = Grant(f"{inbox_prefix}.>", "answers to its own requests")
    return _MAKERS[role](names, inbox)


def _setup(names: Names, inbox: Grant) -> Permissions:
    made = (
        grant
        for stream in streams_of(names)
        for grant in (
            Grant(f"$JS.API.STREAM.INFO.{stream}", "check that it exists, and its settings"),
            Grant(f"$JS.API.STREAM.CREATE.{stream}", "create it"),
        )
    )
    updated = (
        Grant(f"$JS.API.STREAM.UPDATE.{stream}", "allow atomic batches in one that an older version has made")
        for stream in batched_streams(names)
    )
    layout = (
        Grant(f"$JS.API.STREAM.MSG.GET.KV_{names.meta}", "read schema and number of shards"),
        Grant(f"$KV.{names.meta}.layout", "write them, once"),
    )
    others = Grant(names.inbox_question, "ask if another domain stores the same messages")
    return Permissions((_SERVER, others, *made, *updated, *layout), (inbox,))


def _worker(names: Names, inbox: Grant) -> Permissions:
    leases = f"KV_{names.workers}"
    publish = (
        _SERVER,
        *_are_there(names),
        *_reads(names),
        *_scans((f"KV_{names.meta}",), "read the plans and schemas that are kept"),
        *(Grant(f"$KV.{bucket}.>", "write records, by compare-and-set, and end markers") for bucket in names.state),
        *(Grant(f"$KV.{bucket}.>", "archive finished records") for bucket in names.archive),
        Grant(f"$KV.{names.meta}.plan.>", "keep the plans of its definitions, and replace unused ones"),
        Grant(f"$KV.{names.meta}.schema.>", "keep their schemas"),
        Grant(f"$KV.{names.workers}.>", "write and renew its lease"),
        Grant(f"$JS.API.STREAM.PURGE.{leases}", "hand back its lease"),
        Grant(names.subject("saga.>"), "events"),
        Grant(names.subject("sagasys.>"), "messages between parents and children"),
        Grant(names.subject("sagain.>"), "signals and cancels of its callers, to sagas without an owner"),
        Grant(names.subject("sagaop.>"), "operators' verbs of its callers, to sagas without an owner"),
        Grant(names.subject("sagapark.>"), "messages that wait for an owner or for room"),
        Grant(names.subject("sagadead.>"), "messages that can never be applied"),
        Grant(names.subject("sagacmd.>"), "commands of remote steps to participants"),
        Grant(f"$JS.API.STREAM.INFO.{names.commands}", "check that it exists, if a saga has remote steps"),
        Grant(f"$KV.{names.values}.>", "store the large values of its sagas, see the option `claim_above`"),
        Grant(f"$JS.API.STREAM.INFO.KV_{names.values}", "check that it exists, and list large values"),
        Grant(f"$JS.API.STREAM.PURGE.KV_{names.values}", "remove large values that nothing names any more"),
        Grant(names.subject("sagactl.>"), "requests to other workers"),
        Grant(f"$JS.API.CONSUMER.CREATE.{names.inbox}.>", "create the consumers of its types"),
        Grant(f"$JS.API.CONSUMER.MSG.NEXT.{names.inbox}.>", "take messages"),
        Grant(f"$JS.API.CONSUMER.LIST.{names.inbox}", "find messages that no consumer covers"),
        Grant(f"$JS.ACK.{names.inbox}.>", "acknowledge messages"),
        Grant(f"$JS.API.STREAM.MSG.GET.{names.inbox}", "look for a start of a saga or of a type"),
        Grant(f"$JS.API.STREAM.MSG.DELETE.{names.inbox}", "remove a message without a saga, once it is a dead letter"),
        *(
            Grant(f"$JS.API.STREAM.PURGE.KV_{bucket}", "`Runtime.delete`; leave it out where no worker deletes")
            for bucket in (*names.state, *names.archive)
        ),
    )
    subscribe = (
        inbox,
        Grant(names.subject("sagactl.>"), "requests from other workers"),
        Grant(f"$KV.{names.workers}.>", "leases as they change"),
    )
    return Permissions(publish, subscribe, responses=True)


def _participant(names: Names, inbox: Grant) -> Permissions:
    return Permissions(
        (
            _SERVER,
            Grant(f"$JS.API.STREAM.MSG.GET.KV_{names.meta}", "read schema and number of shards"),
            Grant(f"$JS.API.STREAM.INFO.KV_{names.meta}", "ask for the server's time"),
            Grant(f"$JS.API.CONSUMER.CREATE.{names.commands}.>", "create the consumers of its endpoints"),
            Grant(f"$JS.API.CONSUMER.MSG.NEXT.{names.commands}.>", "take commands"),
            Grant(f"$JS.ACK.{names.commands}.>", "acknowledge commands"),
            Grant(names.subject("sagareply.>"), "replies; for one service write sagareply.SERVICE.>"),
            Grant(names.subject("sagadead.command.*"), "commands that can never be worked on"),
        ),
        (inbox, *_micro()),
        responses=True,
    )


def _micro() -> Iterator[Grant]:
    """Yield the questions of NATS micro, to all services and to one."""
    for question in ("PING", "INFO", "STATS"):
        for subject in (f"$SRV.{question}", f"$SRV.{question}.>"):
            yield Grant(subject, "questions of `nats micro`; leave it out with micro=False")


def _client(names: Names, inbox: Grant) -> Permissions:
    read = _looker(names, inbox)
    more = (
        Grant(names.subject("sagain.>"), "start, signal and cancel sagas"),
        Grant(f"$KV.{names.values}.start.>", "large inputs; for one type write start.TYPE.>"),
        Grant(names.intake_subject(">"), "send commands"),
    )
    refused = Grant(names.subject("sagadead.inbox.*"), "why its own messages were refused, as it happens")
    return Permissions((*read.publish, *more), (*read.subscribe, refused))


def _operator(names: Names, inbox: Grant) -> Permissions:
    client = _client(names, inbox)
    more = (
        Grant(names.subject("sagaop.>"), "retry, compensate, terminate and the like"),
        Grant(f"$KV.{names.jobs}.>", "write down a verb for many sagas, and what has become of each"),
        Grant(names.dead_audit, "write down who edits, resends or deletes a dead letter, and why"),
        Grant(names.subject("sagadead.edited.*"), "put an edited dead letter in the place of the one that came"),
        Grant(f"$JS.API.STREAM.MSG.DELETE.{names.dead}", "remove a dead letter, once the inbox has it again"),
    )
    return Permissions((*client.publish, *more, *_jobs(names), _letter(names)), client.subscribe)


def _reader(names: Names, inbox: Grant) -> Permissions:
    looker = _looker(names, inbox)
    return Permissions((*looker.publish, *_jobs(names), _letter(names)), looker.subscribe)


def _letter(names: Names) -> Grant:
    return Grant(f"$JS.API.STREAM.MSG.GET.{names.dead}", "read one dead letter, from the leader")


def _jobs(names: Names) -> Iterator[Grant]:
    stream = f"KV_{names.jobs}"
    yield Grant(f"$JS.API.STREAM.INFO.{stream}", "check that it exists")
    for one in (names.commands, f"KV_{names.values}"):
        yield Grant(f"$JS.API.STREAM.INFO.{one}", "check that it exists, for `sagakit doctor`")
    yield Grant(f"$JS.API.STREAM.MSG.GET.{stream}", "read one job, from the leader")
    yield from _scans([stream], "list jobs")


def _looker(names: Names, inbox: Grant) -> Permissions:
    changes = (Grant(f"$KV.{bucket}.>", "records as they change") for bucket in names.state)
    intake = Grant(f"$JS.API.STREAM.INFO.{names.intake}", "check that it exists, before the first command")
    return Permissions(
        (_SERVER, *_are_there(names), intake, *_reads(names), *_scans([names.dead], "read the dead letters")),
        (inbox, *changes, Grant(names.subject("saga.>"), "events as they come")),
    )


_SERVER = Grant("$JS.API.INFO", "check that JetStream is on, and new enough")


def _are_there(names: Names) -> Iterator[Grant]:
    for stream in needed_streams(names):
        yield Grant(f"$JS.API.STREAM.INFO.{stream}", "check that it exists, its last sequence, and the server's time")


def _reads(names: Names) -> Iterator[Grant]:
    """Yield the rights to read: single keys of every bucket, lists of sagas and workers, histories."""
    for bucket in _buckets(names):
        yield Grant(f"$JS.API.STREAM.MSG.GET.KV_{bucket}", "read one key, from the leader")
    yield Grant(f"$JS.API.STREAM.MSG.GET.KV_{names.values}", "read the large values of a saga, from the leader")
    yield from _scans([f"KV_{bucket}" for bucket in names.state], "list live sagas")
    yield from _scans([f"KV_{bucket}" for bucket in names.archive], "list finished sagas")
    yield from _scans([f"KV_{names.workers}"], "list workers")
    yield from _scans(names.events, "search the history of a saga, or events of a kind")
    for stream in names.events:
        yield Grant(f"$JS.API.STREAM.MSG.GET.{stream}", "read an event of a saga, from the leader")


def _scans(streams: Iterable[str], why: str) -> Iterator[Grant]:
    """Yield the rights to scan streams by a consumer, which is removed afterwards."""
    for stream in streams:
        for call in ("CREATE", "MSG.NEXT", "DELETE"):
            yield Grant(f"$JS.API.CONSUMER.{call}.{stream}.>", why)


def _buckets(names: Names) -> list[str]:
    return [names.meta, *names.state, *names.archive, names.workers]


_MAKERS: dict[Role, Callable[[Names, Grant], Permissions]] = {
    "setup": _setup, "worker": _worker, "participant": _participant, "client": _client, "operator": _operator,
    "reader": _reader,
}  # fmt: skip
