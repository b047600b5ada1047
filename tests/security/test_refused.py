"""Tests of what the documented permissions refuse: everything that a role does not need, by name and at once."""

from __future__ import annotations

import signal
from pathlib import Path

import msgspec
import nats.aio.msg
import pytest
import trio
from sagakit import Completed, Config, open_runtime
from sagakit.cli.exits import CommandExit
from sagakit.client.reaching import client_connection
from sagakit.errors import LayoutMissing, NotPermitted
from sagakit.jetstream.connecting import open_link
from sagakit.store.names import Names
from sagakit.store.permissions import ROLES, Role, needed_streams, permissions_of, streams_of
from sagakit.store.ports import Store

from tests.security.accounts import (
    SAGAKIT,
    SERVERS,
    Serve,
    guarded,
    opened,
    options,
    prefix,
    violations,
    worker_process,
)
from tests.security.work import Gift, Wish, Wrap

HEADS: dict[Role, set[str]] = {
    "setup": {"sagain"},
    "worker": {"saga", "sagacmd", "sagactl", "sagadead", "sagain", "sagaop", "sagapark", "sagasys"},
    "participant": {"sagadead", "sagareply"},
    "client": {"sagain", "sagaintake"},
    "operator": {"sagadead", "sagain", "sagaintake", "sagaop"},
    "reader": set(),
}
"""The heads of the subjects of ours on which a role may publish. The head says which kinds of messages may come."""


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_publish_under_the_heads_of_its_messages_only(role: Role) -> None:
    """A client that could request a worker directly terminated a saga of another type."""
    granted = permissions_of(role, Names(), inbox_prefix="_INBOX").publish
    assert {one.subject.split(".")[0] for one in granted if one.subject.startswith("saga")} == HEADS[role]


async def test_without_the_right_to_make_streams_all_missing_ones_are_named(tmp_path: Path) -> None:
    names = Names()
    with guarded(tmp_path, names) as server:
        with pytest.raises(LayoutMissing) as caught:
            async with open_runtime(server.url, sagas=[Gift()], **options("worker", names)):
                pass
        assert all(stream in str(caught.value) for stream in needed_streams(names))
        assert "sagakit setup" in str(caught.value)
        with worker_process(server, names, "early") as early:
            assert await early.ended() == CommandExit.SERVER
        async with opened(server, "setup", names):
            pass
        async with open_runtime(server.url, sagas=[Gift()], **options("worker", names)):
            pass


async def test_a_refused_subject_is_named_at_once(tmp_path: Path) -> None:
    names, other = Names(), Names(namespace="shop")
    with guarded(tmp_path, names) as server:
        with pytest.raises(NotPermitted) as caught, trio.fail_after(60):
            async with opened(server, "setup", other):
                pass
        assert "may not publish to $JS.API.STREAM.INFO.shop_SAGA_INBOX" in str(caught.value)
        foreign = options("worker", names, inbox_prefix="_INBOX_client")
        with pytest.raises(NotPermitted, match="may not subscribe to _inbox_client"), trio.fail_after(60):
            async with open_runtime(server.url, sagas=[Gift()], **foreign):
                pass


FORBIDDEN: dict[Role, tuple[str, ...]] = {
    "client": (
        "$KV.SAGA_STATE.Gift.x", "$KV.SAGA_ARCHIVE.Gift.x", "$KV.SAGA_META.layout", "$KV.SAGA_WORKERS.w",
        "saga.Gift.started", "$JS.API.STREAM.PURGE.KV_SAGA_STATE", "$JS.API.STREAM.DELETE.KV_SAGA_STATE",
        "$JS.API.STREAM.UPDATE.KV_SAGA_STATE", "$JS.API.STREAM.MSG.DELETE.KV_SAGA_STATE",
        "$JS.API.CONSUMER.MSG.NEXT.SAGA_INBOX.Gift", "$JS.API.CONSUMER.CREATE.SAGA_INBOX.x.sagain.>",
        "$JS.API.CONSUMER.DELETE.SAGA_INBOX.Gift", "$JS.API.STREAM.MSG.GET.SAGA_INBOX", "$JS.ACK.SAGA_INBOX.Gift.1",
        "sagasys.Gift.x", "sagapark.Gift.x", "sagareply.bank.Gift.x", "sagadead.inbox.Gift", "sagactl.w",
        "sagactl.adopt.Gift", "sagaop.Gift.x", "$KV.SAGA_JOBS.j",
    ),
    "worker": (
        "$KV.SAGA_META.layout", "$JS.API.STREAM.CREATE.KV_SAGA_STATE", "$JS.API.STREAM.DELETE.KV_SAGA_STATE",
        "$JS.API.STREAM.UPDATE.KV_SAGA_STATE", "$JS.API.STREAM.PURGE.SAGA_EVENTS", "$JS.API.STREAM.PURGE.SAGA_INBOX",
        "$JS.API.CONSUMER.DELETE.SAGA_INBOX.Gift",
    ),
    "setup": ("$KV.SAGA_STATE.Gift.x", "sagain.Gift.x", "sagactl.w", "saga.Gift.started"),
}  # fmt: skip
FORBIDDEN["participant"] = (
    *(subject for subject in FORBIDDEN["client"] if not subject.startswith("sagareply.")),
    "sagain.Gift.x", "sagacmd.bank.charge", "$JS.API.STREAM.MSG.GET.KV_SAGA_STATE",
)  # fmt: skip
FORBIDDEN["operator"] = tuple(
    subject for subject in FORBIDDEN["client"] if not subject.startswith(("sagaop.", "$KV.SAGA_JOBS"))
)


FORBIDDEN["reader"] = (*FORBIDDEN["client"], "sagain.Gift.x")


@SERVERS
@pytest.mark.parametrize("role", ROLES)
async def test_a_role_is_refused_everything_else(tmp_path: Path, role: Role, serve: Serve) -> None:
    names = Names()
    with serve(tmp_path, names) as server:
        async with opened(server, "setup", names):
            pass
        connection = client_connection(server.url, Config(**options(role, names)))
        async with open_link(connection) as link:
            for subject in FORBIDDEN[role]:
                with pytest.raises(NotPermitted, match=r"may not publish"):
                    await link.request(subject, b"{}", timeout=60)
        assert len(violations(server)) == len(FORBIDDEN[role])


async def test_the_command_setup_makes_missing_streams(tmp_path: Path) -> None:
    names = Names(namespace="shop", shards=2)
    with guarded(tmp_path, names) as server:
        file = tmp_path / "sagakit.toml"
        file.write_text(
            "\n".join(["[sagakit]", *(f"{key} = {value!r}" for key, value in options("setup", names).items())])
        )
        for _ in range(2):
            done = await trio.run_process(
                [str(SAGAKIT), "setup", "--nats", server.url, "--config", str(file)], capture_stdout=True
            )
            assert done.stdout.decode().strip().endswith(", ".join(streams_of(names)))
        assert violations(server) == []
        async with open_runtime(server.url, sagas=[Gift()], **options("worker", names)):
            pass


async def test_a_reader_cannot_make_a_consumer_write_a_record(tmp_path: Path) -> None:
    names = Names()
    with guarded(tmp_path, names) as server:
        async with opened(server, "setup", names):
            pass
        async with opened(server, "worker", names) as worker, opened(server, "reader", names) as reader:
            revision = await worker.state.put("Gift.x", b"the record")
            link = worker._link  # type: ignore[attr-defined]  # as an event is published
            await link.request("saga.Gift.started", b"an event")
            async with reader.state.watch():  # a consumer delivers only to a subject with a subscriber
                await consumer_to(reader, "evil", "$KV.SAGA_STATE.Gift.x")
                await consumer_to(reader, "witness", f"{prefix('reader')}.witness")
                await link.request("saga.Gift.started", b"another")
                await both_have_come(reader)
            entry = await worker.state.get("Gift.x")
            assert entry is not None
            assert (entry.value, entry.revision) == (b"the record", revision)


async def consumer_to(reader: Store, name: str, subject: str) -> None:
    """Have the server send all events to a subject."""
    config = {"name": name, "deliver_subject": subject, "filter_subject": "saga.Gift.started"}
    wish = {"stream_name": "SAGA_EVENTS", "config": config | {"ack_policy": "none", "deliver_policy": "all"}}
    link = reader._link  # type: ignore[attr-defined]  # by hand
    call = f"$JS.API.CONSUMER.CREATE.SAGA_EVENTS.{name}.saga.Gift.started"
    made = await link.request(call, msgspec.json.encode(wish))
    assert b"error" not in made, "if the server refuses it by now, so much the better: take this test out"


async def both_have_come(reader: Store) -> None:
    """Wait for both events at the consumer `witness`, which was made after the other consumer."""
    link = reader._link  # type: ignore[attr-defined]  # by hand
    came: list[bytes] = []
    done = trio.Event()

    def on_event(msg: nats.aio.msg.Msg) -> None:
        came.append(msg.data)
        if came[-1] == b"another":
            done.set()

    await link.subscriptions.hear(f"{prefix('reader')}.witness", on_event)
    with trio.fail_after(60):
        await done.wait()


async def test_records_that_a_worker_may_not_write_wait_until_it_may(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = Names()
    granted = '    "$KV.SAGA_STATE.>"'
    with guarded(tmp_path, names) as server:
        async with opened(server, "setup", names):
            pass
        file = server.folder / "nats.conf"
        whole = file.read_text()
        file.write_text(whole.replace(granted, "    #"))
        server.stop()
        server.start()
        async with (
            open_runtime(server.url, sagas=[Wrap()], ack_timeout=0.5, **options("worker", names)) as runtime,
            trio.open_nursery() as nursery,
        ):
            outcomes: list[object] = []
            ended = trio.Event()

            async def run() -> None:
                outcomes.append(await runtime.execute(Wrap, "w", Wish("kite")))
                ended.set()

            nursery.start_soon(run)
            with trio.fail_after(60):
                while "may not publish to $kv.saga_state.wrap.w" not in caplog.text:  # noqa: ASYNC110  # a log
                    await trio.sleep(0.02)
            assert outcomes == []
            file.write_text(whole)
            server.signal(signal.SIGHUP)
            with trio.fail_after(60):
                await ended.wait()
            assert outcomes == [Completed("paper for kite")]


async def test_no_role_hears_the_answers_of_another(tmp_path: Path) -> None:
    names = Names()
    with guarded(tmp_path, names) as server:
        async with opened(server, "setup", names):
            pass
        with pytest.raises(NotPermitted, match="may not subscribe"):  # noqa: PT012  # the error ends the whole block
            async with opened(server, "reader", names) as store:
                link = store._link  # type: ignore[attr-defined]  # any subject
                await link.on_asyncio(link.client.subscribe, f"{prefix('worker')}.>")
                await trio.sleep_forever()
        assert len(violations(server)) == 1
