"""Tests of values that a reading account makes JetStream overwrite, and of their repair.

Two accounts prevent it (P8).
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest
import trio
from sagakit import Completed, open_runtime
from sagakit.cli.exits import CommandExit
from sagakit.store.names import Names
from sagakit.store.ports import Store

from tests.security.accounts import SERVERS, Serve, guarded, opened, options, prefix, separated, worker_process
from tests.security.overwrite import KEY, WAYS, Way, by_an_answer, on_a_live_record, on_the_layout
from tests.security.work import Wish, Wrap

NAMES = Names(namespace="shop", shards=2)


@pytest.mark.parametrize("way", WAYS)
async def test_p8_in_one_account_a_live_record_is_overwritten_and_written_back(
    way: Way, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with guarded(tmp_path, NAMES) as server, trio.fail_after(60):
        async with opened(server, "setup", NAMES):
            pass
        seen = await on_a_live_record(server, NAMES, tmp_path, way)
    assert seen.shown == seen.after != seen.before, "the attack works no more: say so in docs/security.md"
    assert seen.after_scan == seen.before
    assert seen.written_back == 1
    assert seen.outcome == Completed("kite with love")
    (alarm,) = [line.getMessage() for line in caplog.records if line.levelno == logging.CRITICAL]
    assert KEY in alarm
    assert repr(seen.after[:60])[:-1] in alarm


@pytest.mark.parametrize("way", WAYS)
async def test_in_two_accounts_the_answer_stays_in_the_account_that_asked(
    way: Way, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with separated(tmp_path, NAMES) as server, trio.fail_after(60):
        async with opened(server, "setup", NAMES):
            pass
        seen = await on_a_live_record(server, NAMES, tmp_path, way)
    assert seen.shown != seen.before, "it was answered, under the attacker's own subject"
    assert seen.after == seen.before
    assert seen.written_back == 0
    assert seen.outcome == Completed("kite with love")
    assert [line for line in caplog.records if line.levelno > logging.WARNING] == []


@SERVERS
async def test_a_layout_that_was_overwritten_is_named(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path, NAMES) as server, trio.fail_after(60):
        async with opened(server, "setup", NAMES):
            pass
        said = await on_the_layout(server, NAMES)
        if serve is separated:
            assert said == ""
            return
        assert said.startswith("exit code 76: the key `layout` of bucket shop_SAGA_META does not hold a layout")
        assert 'it begins with b\'{"type":"io.nats.jetstream.api.v1.stream_info_response"' in said
        assert 'nats kv put shop_SAGA_META layout \'{"schema":3,"shards":2}\'' in said
        with worker_process(server, NAMES, "late") as late:
            assert await late.ended() == CommandExit.SERVER
            (line,) = [line for line in late.log() if "layout" in line["message"]]
            assert "exc_info" not in line


@SERVERS
async def test_leases_plans_archive_and_announcements_do_not_end_a_worker(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(tmp_path, NAMES) as server, trio.fail_after(60):
        async with opened(server, "setup", NAMES):
            pass
        async with (
            opened(server, "reader", NAMES) as reader,
            open_runtime(server.url, sagas=[Wrap()], **options("worker", NAMES)) as runtime,
        ):
            assert await runtime.execute(Wrap, "one", Wish("kite")) == Completed("paper for kite")
            (plan,) = await runtime._store.meta.keys("plan")
            archive = NAMES.archive[NAMES.shard_of("Wrap.two")]
            for target in (
                f"$KV.{NAMES.workers}.{runtime.worker_id}",
                f"$KV.{NAMES.workers}.forged",
                f"$KV.{NAMES.workers}.adopt.Wrap",
                f"$KV.{NAMES.meta}.{plan}",
                f"$KV.{archive}.Wrap.two",
                NAMES.adopt_subject("Wrap"),
                NAMES.control_subject(runtime.worker_id),
                NAMES.subject("sagain.Wrap.three"),
                NAMES.subject("saga.Wrap.started"),
            ):
                await by_an_answer(reader, target)
            await reader._link.request(f"$JS.API.STREAM.INFO.KV_{NAMES.meta}", b"")  # type: ignore[attr-defined]  # they came before
            unreadable = (await runtime.list(status="completed")).unreadable
            assert [one.key for one in unreadable] == ([] if serve is separated else ["Wrap.two"])
            assert await runtime.execute(Wrap, "four", Wish("doll")) == Completed("paper for doll")
            found = [event.sequence for event in (await runtime.history(Wrap, "four")).events]
            assert found == list(range(1, len(found) + 1)), "what was put into the stream is not an event of the saga"
        async with open_runtime(server.url, sagas=[Wrap()], **options("worker", NAMES)) as runtime:
            assert await runtime.execute(Wrap, "five", Wish("doll")) == Completed("paper for doll")
    assert "Traceback" not in caplog.text


async def test_in_two_accounts_a_consumer_writes_no_record_either(tmp_path: Path) -> None:
    """A consumer's deliveries have subjects in the account of the workers, whoever has made the consumer."""
    names = Names()
    with separated(tmp_path, names) as server, trio.fail_after(60):
        async with opened(server, "setup", names):
            pass
        async with opened(server, "worker", names) as worker, opened(server, "reader", names) as reader:
            revision = await worker.state.put("Gift.x", b"the record")
            link = worker._link  # type: ignore[attr-defined]  # by hand
            came = trio.Event()

            def on_event(msg: object) -> None:
                came.set()

            witness = f"{prefix('worker')}.witness"
            await link.subscriptions.hear(witness, on_event)
            async with reader.state.watch():  # a consumer delivers only to a subject with a subscriber
                await _deliver_events(reader, "evil", f"$KV.{names.state[0]}.Gift.x")
                await _deliver_events(worker, "witness", witness)
                await link.request("saga.Gift.started", b"an event")
                await came.wait()
            entry = await worker.state.get("Gift.x")
            assert entry is not None
            assert (entry.value, entry.revision) == (b"the record", revision)


async def _deliver_events(store: Store, name: str, subject: str) -> None:
    config = {"name": name, "deliver_subject": subject, "filter_subject": "saga.Gift.started"}
    config |= {"ack_policy": "none", "deliver_policy": "all"}
    wish = msgspec.json.encode({"stream_name": "SAGA_EVENTS", "config": config | {"idle_heartbeat": 100_000_000}})
    call = f"$JS.API.CONSUMER.CREATE.SAGA_EVENTS.{name}.saga.Gift.started"
    assert b"error" not in await store._link.request(call, wish)  # type: ignore[attr-defined]
