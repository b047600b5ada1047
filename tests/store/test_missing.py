"""A bucket or stream that somebody has deleted is named, with what to do: once a minute for the whole worker."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
from sagakit import Context, Runtime, open_runtime
from sagakit.errors import StreamMissing
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.store.names import Names

from tests.sagas import BookTrip, Trip
from tests.servers import Server


async def _held(name: str, ctx: Context) -> None:
    if name == "flight":
        await trio.sleep_forever()


async def delete(server: Server, stream: str) -> None:
    async with open_link(Connection(servers=(server.url,))) as link:
        await link.request(f"$JS.API.STREAM.DELETE.{stream}", b"")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO and _is_it(record)]


def _is_it(record: logging.LogRecord) -> bool:
    return "is missing" in record.getMessage() or "err_code 10059" in record.getMessage()


@pytest.mark.parametrize("which", ["state", "archive", "workers", "inbox"])
async def test_a_missing_stream_is_named_once_for_the_whole_worker(
    server: Server, namespace: str, caplog: pytest.LogCaptureFixture, which: str
) -> None:
    caplog.set_level(logging.INFO)
    names = Names(namespace=namespace)
    bucket = {"state": names.state[0], "archive": names.archive[0], "workers": names.workers}.get(which, "")
    stream, what = (f"KV_{bucket}", f"bucket {bucket}") if bucket else (names.inbox, f"stream {names.inbox}")
    options: dict[str, Any] = {"namespace": namespace, "scan_interval": 0.1, "lease_ttl": 1.0, "drain_timeout": 0.1}
    async with open_runtime(server.url, sagas=[BookTrip(_held)], **options) as runtime:
        for number in range(10):
            await runtime.start(BookTrip, f"s{number}", Trip())
        await delete(server, stream)
        await _met(runtime, which, stream)
        with trio.fail_after(60):
            while not told(caplog):  # noqa: ASYNC110  # nothing tells
                await trio.sleep(0.05)
        for _ in range(10):
            await _met(runtime, which, stream)
    [line] = told(caplog)
    assert line.startswith(f"the {what} is missing (stream not found): restore it")
    assert "`sagakit setup`" in line


async def _met(runtime: Runtime, which: str, stream: str) -> None:
    """All who look are told the same."""
    if which in ("state", "archive"):
        with pytest.raises(StreamMissing, match="is missing") as raised:
            await runtime.list(status=None if which == "state" else "completed")
        assert raised.value.stream == stream
        with pytest.raises(StreamMissing):
            await runtime.get(BookTrip, "another" if which == "archive" else "s0x")
    else:
        await trio.sleep(0.1)  # the worker's own tries go on
