"""`sagakit worker --tracing`: the spans of its sagas leave by what the option names."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.loading import tracing_of

from tests.cli import traced_jobs
from tests.cli.processes import start, worker
from tests.servers import Server

HERE = "tests.cli.traced_jobs"


async def test_the_spans_of_a_worker_leave_by_the_tracing_that_the_option_names(
    tmp_path: Path, server: Server, namespace: str
) -> None:
    address = ["--nats", server.url, "--namespace", namespace, "--tracing", f"{HERE}:made"]
    with worker(tmp_path / "one", "sagas", *address) as process:
        await process.said("is up")
        await start(server.url, namespace, "Wait", "w")
        await process.noted("span Wait")
        process.signal(signal.SIGTERM)
        assert await process.ended() == CommandExit.DRAINED
        assert process.notes == ["made", "called", "span wait", "span Wait"]


def test_a_tracing_is_named_or_made_by_a_function() -> None:
    assert tracing_of(f"{HERE}:noted") is traced_jobs.noted
    assert isinstance(tracing_of(f"{HERE}:made"), traced_jobs.Noted)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "must be a tracing, such as sagakit.otel.OtelTracing(provider), or a function that returns one"),
        ("Noted", "must be a tracing"),
        ("made_of", "takes (name: 'str') -> 'Noted', but is called without arguments"),
        ("nobody", "has no 'nobody'; define it there"),
    ],
)
def test_what_is_no_tracing_is_refused(name: str, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        tracing_of(f"{HERE}:{name}")
    assert says in str(refused.value)
