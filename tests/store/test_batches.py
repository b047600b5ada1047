"""Writes in groups on a real server: batches are made where they may be, and each write keeps its own result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from sagakit.errors import Ambiguous, Conflict, StoreError
from sagakit.jetstream.batches import FOR_GOOD, REFUSED, Batches, batches_on, outcome
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.layout import StreamOptions
from sagakit.jetstream.link import Link
from sagakit.jetstream.store import JetStreamStore, open_jetstream
from sagakit.store import gathering
from sagakit.store.gathering import BatchDone, BatchRefused, Carrier
from sagakit.store.names import Names
from sagakit.store.permissions import batched_streams
from sagakit.store.ports import EventMessage, Write
from sagakit.system.config import Config
from sagakit.system.open_store import stream_options

from tests.doctor.examined import edit
from tests.servers import Server, running_server
from tests.store import killed_groups

MANY = 100


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the size of each batch that is sent."""
    found: list[int] = []
    send = Batches.send

    def sent(batches: Batches, messages: Sequence[tuple[str, bytes, bytes]], done: BatchDone) -> None:
        found.append(len(messages))
        send(batches, messages, done)

    monkeypatch.setattr(Batches, "send", sent)
    return found


@asynccontextmanager
async def opened(server: Server, names: Names, *, groups: bool = True) -> AsyncIterator[JetStreamStore]:
    options = StreamOptions(group_commit=groups)
    async with open_jetstream(Connection(servers=(server.url,)), names=names, options=options) as store:
        yield store


class Results:
    """The results of writes that were handed in at once."""

    def __init__(self) -> None:
        self.found: dict[str, int | StoreError] = {}
        self._all = trio.Event()
        self._left = 0

    async def of(self, store: JetStreamStore, writes: Sequence[Write]) -> dict[str, int | StoreError]:
        self._left = len(writes)
        for write in writes:
            store.state.submit(write, lambda result, key=write.key: self._take(key, result))  # type: ignore[misc]
        return await self._until_all()

    async def of_events(self, store: JetStreamStore, events: Sequence[EventMessage]) -> dict[str, int | StoreError]:
        self._left = len(events)
        for event in events:
            store.events.submit(event, lambda result, id=event.id: self._take(id, result))  # type: ignore[misc]
        return await self._until_all()

    def _take(self, key: str, result: int | StoreError) -> None:
        self.found[key] = result
        self._left -= 1
        if not self._left:
            self._all.set()

    async def _until_all(self) -> dict[str, int | StoreError]:
        with trio.fail_after(60):
            await self._all.wait()
        return self.found


def creates(number: int, *, ttl: float | None = None) -> list[Write]:
    return [Write(f"Walk.{n}", f'{{"n":{n}}}'.encode(), 0, ttl) for n in range(number)]


@pytest.mark.parametrize("shards", [1, 3])
async def test_many_writes_at_once_share_batches_and_each_has_its_revision(
    shards: int, server: Server, namespace: str, sizes: list[int]
) -> None:
    async with opened(server, Names(namespace=namespace, shards=shards)) as store:
        writes = creates(MANY * shards, ttl=60.0)
        found = await Results().of(store, writes)
        for write in writes:
            entry = await store.state.get(write.key)
            assert entry is not None
            assert (entry.value, entry.revision) == (write.value, found[write.key])
    assert sum(sizes) > MANY // 2


async def test_only_the_guilty_writes_of_a_refused_batch_fail(server: Server, namespace: str, sizes: list[int]) -> None:
    async with opened(server, Names(namespace=namespace)) as store:
        guilty = [f"Walk.{n}" for n in (60, 75, 99)]
        for key in guilty:
            await store.state.create(key, b"{}")
        found = await Results().of(store, creates(MANY))
    assert sizes
    assert [key for key, result in found.items() if isinstance(result, Conflict)] == sorted(guilty)
    assert sum(isinstance(result, int) for result in found.values()) == MANY - len(guilty)


async def test_an_event_that_is_in_the_log_refuses_no_other(server: Server, namespace: str, sizes: list[int]) -> None:
    names = Names(namespace=namespace)
    subject = names.event_subject("Walk.1", "Walk", "started")
    events = [EventMessage("Walk.1", subject, f"run/{n}", b"{}") for n in range(MANY)]
    async with opened(server, names) as store:
        [known] = (await Results().of_events(store, events[70:71])).values()
        found = await Results().of_events(store, events)
    assert sizes
    assert found["run/70"] == known
    assert sorted(result for result in found.values() if isinstance(result, int)) == list(range(1, MANY + 1))


async def test_a_few_writes_go_singly_and_at_once(server: Server, namespace: str, sizes: list[int]) -> None:
    async with opened(server, Names(namespace=namespace)) as store:
        await Results().of(store, creates(gathering.ENTER))
    assert sizes == []


@pytest.mark.parametrize("reason", ["off", "not allowed", "not allowed any more", "alone"])
async def test_writes_go_singly(reason: str, server: Server, namespace: str, sizes: list[int]) -> None:
    names = Names(namespace=namespace)
    async with opened(server, names):
        pass
    if reason == "not allowed":
        await _forbid(server, names)
    writes = creates(MANY)
    async with opened(server, names, groups=reason != "off") as store:
        if reason == "not allowed any more":
            await _forbid(server, names)
        if reason == "alone":
            writes = [Write(write.key, write.value, 0, alone=True) for write in writes]
        found = await Results().of(store, writes)
        assert all(isinstance(result, int) for result in found.values())
        assert len(sizes) == (reason == "not allowed any more"), "it is tried once"


def test_a_stream_of_several_copies_gathers_nothing() -> None:
    """The log of its servers shares an fsync between messages, and a batch would only cost."""
    configs: dict[str, dict[str, Any]] = {
        "KV_A": {"allow_atomic": True, "num_replicas": 3},
        "KV_B": {"allow_atomic": True},
        "KV_C": {},
    }
    batches = batches_on(cast(Link, None), configs)
    carrier = cast(Carrier[Write], None)
    assert {name for name in configs if batches.gathering(name, carrier) is not None} == {"KV_B"}


async def _forbid(server: Server, names: Names) -> None:
    for stream in batched_streams(names):
        await edit(server, stream, allow_atomic=False)


@pytest.mark.parametrize(
    ("answer", "means"),
    [
        (b'{"stream":"K","seq":9,"batch":"b","count":3}', range(7, 10)),
        (b'{"stream":"K","seq":9}', Ambiguous),  # a server that knows no batches
        (b'{"stream":"K","seq":9,"batch":"b","count":2}', Ambiguous),
        (b'{"stream":"K","seq":9,"batch":"other","count":3}', Ambiguous),
        (b"", Ambiguous),
        (b'{"error":{"code":400,"err_code":10071}}', BatchRefused),
        (b'{"error":{"code":400,"err_code":10164}}', BatchRefused),
        (b'{"error":{"code":400,"err_code":10176}}', BatchRefused),
        (b'{"error":{"code":400,"err_code":10201}}', BatchRefused),
        (b'{"error":{"code":429,"err_code":10210}}', BatchRefused),
        *((b'{"error":{"code":400,"err_code":%d}}' % code, BatchRefused) for code in FOR_GOOD),
        (b'{"error":{"code":503,"err_code":10077}}', Ambiguous),  # maximum bytes: maybe in the middle
        (b'{"error":{"code":503,"err_code":10023}}', Ambiguous),
    ],
)
def test_what_the_answer_to_a_batch_means(answer: bytes, means: range | type) -> None:
    found = outcome("b", 3, answer)
    assert found == means if isinstance(means, range) else isinstance(found, means)


def test_what_every_further_batch_would_meet_ends_them_on_the_stream() -> None:
    for code in REFUSED:
        found = outcome("b", 3, b'{"error":{"code":400,"err_code":%d}}' % code)
        assert isinstance(found, BatchRefused)
        assert found.for_good == (code in {10174, 10177, 10199})


@pytest.mark.parametrize(
    ("url", "options", "groups"),
    [
        ("embedded:", {}, True),
        ("embedded:", {"sync": "relaxed"}, False),
        ("embedded:", {"group_commit": "off"}, False),
        ("nats://localhost", {}, False),
        ("nats://localhost", {"group_commit": "on"}, True),
    ],
)
def test_where_writes_are_grouped(url: str, options: dict[str, str], groups: bool) -> None:
    assert stream_options(url, Config.of(options)).group_commit is groups


async def test_p8_a_server_that_is_killed_in_the_middle_of_a_batch(tmp_path: Path) -> None:
    """The command `python -m tests.store.killed_groups` runs more rounds."""
    said: list[str] = []
    with running_server(tmp_path) as server:
        await killed_groups.run(server, 2, 0, said.append)
    assert len(said) == 2
