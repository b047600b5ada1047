"""`sagakit store` against a real server: differences are found, and a lost bucket is rebuilt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import nats
from sagakit.cli.exits import CommandExit

from tests.cli.operators import Operator
from tests.cli.processes import worker
from tests.docs.blocks import ROOT, blocks
from tests.docs.printed import outputs
from tests.servers import running_server

WHY = ("--reason", "the disk was replaced", "--by", "ann")


async def _plant(url: str, key: str) -> None:
    """Delete the second event of the log, and store a record in the archive that nobody can read."""
    connection = await nats.connect(url)
    js = connection.jetstream()
    await js.delete_msg("SAGA_EVENTS", 2)
    await (await js.key_value("SAGA_ARCHIVE")).put(key, b"nonsense")
    await connection.close()


async def _lose(url: str) -> None:
    connection = await nats.connect(url)
    await connection.jetstream().delete_stream("KV_SAGA_STATE")
    await connection.close()


async def _revision(url: str, key: str) -> int | None:
    connection = await nats.connect(url)
    try:
        return (await (await connection.jetstream().key_value("SAGA_STATE")).get(key)).revision
    finally:
        await connection.close()


def test_a_lost_bucket_is_rebuilt_and_planted_differences_are_found(tmp_path: Path) -> None:
    with running_server(tmp_path / "server") as server:
        shell = Operator(server.url, tmp_path)
        with worker(tmp_path / "first", "parcels", "--nats", server.url):
            stuck, ended = shell.starts_parcel("stuck"), shell.starts_parcel("ended")
            shell.says("terminate", ended, *WHY, "--yes")
            shell.awaits(ended, "failed")
            said = shell.says("store", "verify", "--deep")
            assert (said.code, said.err) == (0, "2 sagas compared, 0 differ\n")
            said = shell.says("store", "rebuild", *WHY, "--yes")
            assert said.code == CommandExit.USAGE
            assert "lives: stop all workers, then rebuild" in said.err
        _run(_lose, server.url)
        said = shell.says("store", "verify")
        assert (said.code, "sagakit store rebuild" in said.err) == (CommandExit.UNAVAILABLE, True)
        said = shell.says("store", "rebuild", *WHY, "--dry-run", "-o", "json")
        assert [(line["key"], line["result"], line["dry_run"]) for line in said.json] == [
            (ended, "there", True),
            (stuck, "stuck", True),
        ]
        said = shell.says("store", "verify", "-o", "json")
        assert said.code == CommandExit.NOT_APPLIED
        assert [(line["key"], line["what"]) for line in said.json] == [
            (stuck, "it is stuck by its events, and no record is stored")
        ]
        said = shell.says("store", "rebuild", *WHY, "--yes", "-o", "none")
        assert (said.code, said.out, said.err) == (0, "", 2 * "2 sagas in the log: 1 stuck, 1 there\n")
        dry, real, _, _ = outputs(blocks(ROOT / "docs" / "rebuild.md", "console")[1]).values()
        shown = re.sub(r"[\d,]+ (archived|stuck)", "N", dry)
        assert (shown, real) == ("812 sagas in the log: N, N\n", 2 * dry)
        assert (_run(_revision, server.url, stuck) or 0) > 10**12, "an old write must not match a revision by chance"
        shell.lets_carrier_work("stuck")
        with worker(tmp_path / "second", "parcels", "--nats", server.url):
            assert shell.awaits(stuck, "stuck")["stuck"] == "rebuilt from its events: the disk was replaced"
            assert shell.says("retry", stuck, *WHY, "--yes").code == 0
            assert shell.awaits(stuck, "completed")["output"] == "label 7"
            events = [line["event"] for line in shell.says("history", stuck, "-o", "json").json]
            assert events.count("operator.rebuild") == 1
        _run(_plant, server.url, ended)
        said = shell.says("store", "verify", "-o", "jsonl")
        found = {line["key"]: line for line in map(msgspec.json.decode, said.out.splitlines())}
        assert "cannot be read" in found[ended]["what"]
        assert (found[stuck]["sequence"], said.code) == (2, CommandExit.NOT_APPLIED)


def _run(job: object, *args: str) -> Any:
    """Run a coroutine function of nats-py in this process, which has no loop."""
    import asyncio

    return asyncio.run(job(*args))  # type: ignore[operator]


def test_a_rebuild_says_why_and_does_not_ask_where_nobody_answers(tmp_path: Path) -> None:
    shell = Operator("nats://127.0.0.1:1", tmp_path)
    assert "--reason is missing" in shell.says("store", "rebuild", "--by", "ann").err
    said = shell.says("store", "rebuild", *WHY)
    assert (said.code, "no terminal" in said.err) == (CommandExit.USAGE, True)
    said = shell.says("store", "rebuild", *WHY, "--yes", "--at", "noonish")
    assert (said.code, "noonish" in said.err) == (CommandExit.USAGE, True)


async def _put_value(url: str, key: str) -> None:
    connection = await nats.connect(url)
    await (await connection.jetstream().key_value("SAGA_VALUES")).put(key, b"x")
    await connection.close()


async def _keys(url: str) -> list[str]:
    connection = await nats.connect(url)
    try:
        return sorted(await (await connection.jetstream().key_value("SAGA_VALUES")).keys())
    finally:
        await connection.close()


def test_a_sweep_by_hand_counts_large_values_and_notes_those_that_nothing_needs(tmp_path: Path) -> None:
    value = f"Deliver.p.run.{'0' * 64}"
    with running_server(tmp_path / "server") as server:
        shell = Operator(server.url, tmp_path)
        assert shell.says("setup").code == 0
        said = shell.says("store", "sweep", "-o", "json")
        assert (said.code, said.json) == (0, [{"needed": 0, "unneeded": 0, "removed": 0, "dry_run": False}])
        _run(_put_value, server.url, f"saga.{value}.0")
        found = {"needed": 0, "unneeded": 1, "removed": 0}
        assert shell.says("store", "sweep", "--dry-run", "-o", "json").json == [{**found, "dry_run": True}]
        assert _run(_keys, server.url) == [f"saga.{value}.0"]
        for _ in range(2):  # a week later the second one would remove it
            assert shell.says("store", "sweep", "-o", "json").json == [{**found, "dry_run": False}]
        assert _run(_keys, server.url) == [f"saga.{value}.0", f"unneeded.saga.{value}"]
