"""Two JetStream domains in one account, a hub and a leaf node: no saga runs in both."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import trio
from sagakit import Completed, Runtime, UnknownSaga, open_runtime
from sagakit.errors import InvalidConfig, OtherDomain
from sagakit.jetstream import domains as question
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.system.given_options import RuntimeOptions

from tests.sagas import BookTrip, Trip
from tests.servers import Server, running_server
from tests.store.domains import APART, SUBJECTS, joined, starts_at, told

NAMES = pytest.mark.parametrize("domains", [("hub", "leaf"), ("", "leaf"), ("", "")], ids=str)


@NAMES
@pytest.mark.parametrize("first", ["hub", "leaf"])
async def test_a_worker_does_not_open_beside_one_of_another_domain(
    tmp_path: Path, domains: tuple[str, str], first: str
) -> None:
    async with joined(tmp_path, domains=domains) as sides:
        text = await told(*(sides if first == "hub" else reversed(sides)))
    assert text is not None
    assert "SAGA_INBOX answered" in text
    assert "option `namespace`" in text
    assert f"deny_imports: {SUBJECTS}" in text


@NAMES
async def test_a_leaf_node_that_was_joined_later_is_refused(
    tmp_path: Path, domains: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides have their streams already; the question is stored in neither."""
    for side, domain in zip(("hub", "leaf"), domains, strict=True):
        with running_server(tmp_path / side, jetstream=f"domain: {domain}" if domain else "") as alone:
            await opened(alone)
    async with joined(tmp_path, domains=domains) as sides:
        monkeypatch.setattr(question, "OTHERS_WITHIN", 60.0)  # the answer ends the wait, however late it comes
        with pytest.raises(OtherDomain) as refused:
            await opened(sides.leaf)
        assert refused.value.streams == ["SAGA_INBOX", "SAGA_INBOX"]
        assert [await stored(side) for side in sides] == [0, 0]


@pytest.mark.parametrize(("remote", "namespace"), [("", "leaf"), (APART, "")], ids=["namespace", "denied subjects"])
async def test_each_way_out_that_the_error_names_runs_a_saga_once(tmp_path: Path, remote: str, namespace: str) -> None:
    async with joined(tmp_path, remote=remote) as sides:
        assert await starts_at(sides, leaf_namespace=namespace) == [0, 1]


async def test_a_leaf_node_without_streams_of_its_own_is_told_before_any_is_made(tmp_path: Path) -> None:
    async with joined(tmp_path) as sides:
        await told(*sides)
        assert await stored(sides.leaf) is None


SAYING = pytest.mark.parametrize(
    ("query", "options"),
    [("?domain=hub", {}), ("", {"domain": "hub"}), ("", {"api_prefix": "$JS.hub.API"})],
    ids=["URL", "domain", "API prefix"],
)


@SAYING
async def test_a_worker_at_a_leaf_node_may_use_the_hubs_streams(
    tmp_path: Path, query: str, options: RuntimeOptions
) -> None:
    """A runtime runs sagas, takes messages, and has its worker there; the leaf node's own JetStream has no stream."""
    async with joined(tmp_path) as sides:
        async with (
            open_runtime(sides.hub.url, sagas=[BookTrip()]) as hub,
            open_runtime(sides.leaf.url + query, sagas=[BookTrip()], **options) as leaf,
        ):
            assert isinstance(await leaf.execute(BookTrip, "one", Trip()), Completed)
            assert (await hub.load(BookTrip, "one")).status == "completed"
            start = b'{"kind":"start","input":{"city":"Rome"}}'
            await leaf._store.inbox.send("client", id="1", saga_type="BookTrip", saga_id="two", payload=start)
            with trio.fail_after(60):
                await _until_started(leaf, "two")
            await (await leaf.get(BookTrip, "two")).outcome()
            await leaf.delete(BookTrip, "one")
        assert await stored(sides.leaf) is None


@pytest.mark.parametrize(
    ("url", "options", "why"),
    [
        ("nats://127.0.0.1:1?domain=a", {"domain": "b"}, "the options say otherwise"),
        ("nats://127.0.0.1:1?realm=a", {}, "the URL's query has realm"),
        ("nats://127.0.0.1:1", {"domain": "a", "api_prefix": "b"}, "take one of them out"),
        ("nats://127.0.0.1:1", {"domain": "a.b"}, "domain='a.b'"),
        ("nats://127.0.0.1:1", {"api_prefix": "a.>"}, "api_prefix='a.>'"),
    ],
)
async def test_a_domain_that_cannot_be_meant_is_refused(url: str, options: RuntimeOptions, why: str) -> None:
    with pytest.raises(InvalidConfig, match=why):
        async with open_runtime(url, sagas=[BookTrip()], **options):
            pass


async def _until_started(runtime: Runtime, saga_id: str) -> None:
    while True:
        with suppress(UnknownSaga):
            await runtime.get(BookTrip, saga_id)
            return
        await trio.sleep(0.05)  # a message starts the saga: nothing tells of it before it exists


async def opened(server: Server) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()]):
        await trio.lowlevel.checkpoint()


async def stored(server: Server) -> int | None:
    """Return how many messages the inbox of the server's own domain has taken in; None without an inbox."""
    async with open_link(Connection(servers=(server.url,))) as link:
        answer = msgspec.json.decode(await link.request("$JS.API.STREAM.INFO.SAGA_INBOX", b""))
    return answer["state"]["last_seq"] if "state" in answer else None
