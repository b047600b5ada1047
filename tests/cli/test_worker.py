"""`sagakit worker`: real processes, real signals, and the exit codes by which a process supervisor decides."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import trio
from sagakit import Completed, open_runtime
from sagakit.cli.exits import CommandExit
from sagakit.jetstream.ports import free_port

from tests.cli.jobs import Call, Wait
from tests.cli.processes import SAGAKIT, get, start, worker
from tests.servers import Server, running_server

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: str(number.name))
async def test_a_signal_drains_running_attempts_end_and_are_not_made_again(
    tmp_path: Path, server: Server, namespace: str, number: signal.Signals
) -> None:
    gate = tmp_path / "gate"
    with worker(
        tmp_path / "one", "sagas", "--nats", server.url, "--namespace", namespace, "--drain-timeout", "20"
    ) as process:
        await process.said("is up")
        await start(server.url, namespace, "Wait", "w", gate=str(gate))
        await process.noted("called")
        process.signal(number)
        assert (await process.said("draining"))["signal"] == number.name
        gate.touch()
        assert await process.ended() == CommandExit.DRAINED
        assert process.notes == ["called"]
    async with open_runtime(server.url, sagas=[Wait()], namespace=namespace) as runtime:
        assert await runtime.execute(Wait, "w", Call(str(gate))) == Completed("done")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: str(number.name))
async def test_a_second_signal_ends_it_at_once(
    tmp_path: Path, server: Server, namespace: str, number: signal.Signals
) -> None:
    with worker(
        tmp_path / "one", "sagas", "--nats", server.url, "--namespace", namespace, "--drain-timeout", "600"
    ) as process:
        await process.said("is up")
        await start(server.url, namespace, "Wait", "w", gate="/nowhere/gate")
        await process.noted("called")
        process.signal(signal.SIGTERM)
        await process.said("draining")
        process.signal(number)
        assert await process.ended() == -number


async def test_a_second_signal_gets_through_to_a_loop_that_is_blocked(
    tmp_path: Path, server: Server, namespace: str
) -> None:
    with worker(tmp_path / "one", "sagas", "--nats", server.url, "--namespace", namespace) as process:
        await process.said("is up")
        await start(server.url, namespace, "Block", "b")
        await process.noted("called")
        for _ in range(200):  # nothing tells when the first has arrived: the loop cannot say so
            process.signal(signal.SIGTERM)
            if process.popen.poll() is not None:
                break
            await trio.sleep(0.05)
        assert await process.ended() == -signal.SIGTERM


async def test_a_signal_while_it_waits_for_the_server_ends_it(tmp_path: Path) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    with worker(tmp_path / "one", "sagas", "--nats", url, SAGAKIT_CONNECT_TIMEOUT="600") as process:
        await process.said("Connect call failed")
        process.signal(signal.SIGTERM)
        assert await process.ended() == CommandExit.DRAINED


@pytest.mark.parametrize(("sagas", "saga_type"), [("made", "Wait"), ("made_async", "Wait"), ("asyncio_steps", "Sleep")])
async def test_sagas_from_a_function_or_with_asyncio_steps(
    tmp_path: Path, sagas: str, saga_type: str, server: Server, namespace: str
) -> None:
    with worker(tmp_path / "one", sagas, "--nats", server.url, "--namespace", namespace) as process:
        await process.said("is up")
        await start(server.url, namespace, saga_type, "w")
        await process.noted("called")
        process.signal(signal.SIGTERM)
        assert await process.ended() == CommandExit.DRAINED


@pytest.mark.parametrize(("sagas", "saga_type"), [("held", "Wait"), ("held_async", "Wait"), ("pool", "Query")])
async def test_clients_and_pools_live_as_long_as_the_worker(
    tmp_path: Path, sagas: str, saga_type: str, server: Server, namespace: str
) -> None:
    asyncio = ["--asyncio"] if sagas == "pool" else []
    with worker(tmp_path / "one", sagas, "--nats", server.url, "--namespace", namespace, *asyncio) as process:
        await process.said("is up")
        await start(server.url, namespace, saga_type, "w")
        await process.noted("called")
        process.signal(signal.SIGTERM)
        assert await process.ended() == CommandExit.DRAINED
        assert process.notes == ["opened", "called", "closed"]


@pytest.mark.parametrize(
    ("sagas", "code", "says"),
    [
        ("nothing", CommandExit.USAGE, "it has lists of sagas as sagas"),
        ("one", CommandExit.USAGE, "put it into a list, [Wait(...)]"),
        ("Wait", CommandExit.USAGE, "a worker needs instances, in a list: [Wait()]"),
        ("classes", CommandExit.USAGE, "which is not a Saga instance: write an instance"),
        ("number", CommandExit.USAGE, "gives int: it must be a list"),
        ("empty", CommandExit.USAGE, "holds no sagas"),
        ("bad", CommandExit.DEFINITION, "Bad"),
        ("late", CommandExit.DEFINITION, "Nowhere is not known at run time"),
        ("breaks", CommandExit.CRASH, "no such database"),
    ],
)
async def test_what_is_wrong_with_the_sagas_is_said(tmp_path: Path, sagas: str, code: CommandExit, says: str) -> None:
    with worker(tmp_path / "one", sagas, "--nats", "memory:") as process:
        assert await process.ended() == code
        last = process.lines[-1]
        assert says in last["message"]
        assert (last["level"], last["exit"]) == ("CRITICAL", code)
        assert ("exc_info" in last) == (code is CommandExit.CRASH), "a traceback is for bugs"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.module:sagas", "--nats", "memory:"], "no module 'nowhere'"),
        (["tests.cli.jobs.more:sagas", "--nats", "memory:"], "no module 'tests.cli.jobs.more'"),
        (["tests.cli.jobs", "--nats", "memory:"], "write module:name"),
        (["tests.cli.jobs:sagas"], "--nats: missing: give it"),
        (["tests.cli.jobs:sagas", "--nats", "memory:", "--colour"], "No such option: --colour"),
        (["tests.cli.jobs:sagas", "--nats", "memory:", "--log-format", "xml"], "'xml' is not one of"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], says: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [SAGAKIT, "worker", *arguments], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.returncode == CommandExit.USAGE
    assert says in done.stderr


async def test_a_plan_that_has_changed(tmp_path: Path, server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[Wait()], namespace=namespace, drain_timeout=0.1) as runtime:
        await runtime.start(Wait, "unfinished", Call(gate=str(tmp_path / "never")))
    with worker(tmp_path / "one", "changed", "--nats", server.url, "--namespace", namespace) as process:
        assert await process.ended() == CommandExit.DEFINITION
        assert "version=2" in process.lines[-1]["message"]


async def test_no_server(tmp_path: Path) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    with worker(tmp_path / "one", "sagas", "--nats", url, SAGAKIT_CONNECT_TIMEOUT="0.5") as process:
        assert await process.ended() == CommandExit.UNAVAILABLE


async def test_credentials_refused(tmp_path: Path) -> None:
    config = 'authorization { user: ann, password: "right" }'
    with running_server(tmp_path / "nats", config=config) as server:
        given = {"SAGAKIT_PASSWORD": "wrong", "SAGAKIT_CONNECT_TIMEOUT": "1"}
        with worker(tmp_path / "one", "sagas", "--nats", server.url, "--user", "ann", **given) as process:
            assert await process.ended() == CommandExit.NOT_PERMITTED


async def test_a_server_that_takes_small_messages_only(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "nats", config="max_payload: 1024") as server,
        worker(tmp_path / "one", "sagas", "--nats", server.url) as process,
    ):
        assert await process.ended() == CommandExit.CONFIG
        assert "raise `max_payload` in the server's configuration" in process.lines[-1]["message"]


async def test_a_server_without_jetstream(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "nats", jetstream=None) as server,
        worker(tmp_path / "one", "sagas", "--nats", server.url) as process,
    ):
        assert await process.ended() == CommandExit.SERVER
        assert "JetStream" in process.lines[-1]["message"]


@pytest.mark.parametrize(
    ("toml", "arguments", "environment", "says"),
    [
        ("lease_tll = 3", [], {}, "no such option: lease_tll"),
        ("lease_ttl = 3 s", [], {}, "options.toml"),
        ("", ["--drain-timeout", "-1"], {}, "drain_timeout=-1.0"),
        ("", [], {"SAGAKIT_MAX_ACTIVE": "many"}, "max_active='many'"),
        ("", ["--tls-ca", "/nowhere/ca.pem"], {}, "tls_ca='/nowhere/ca.pem' cannot be read"),
        ("", ["--health", "here"], {}, "write HOST:PORT"),
        ("", ["--namespace", "a b"], {}, "namespace 'a b'"),
        (None, [], {}, "options.toml cannot be read"),
    ],
)
async def test_a_wrong_option(
    tmp_path: Path, toml: str | None, arguments: list[str], environment: dict[str, str], says: str
) -> None:
    file = tmp_path / "options.toml"
    if toml is not None:
        file.write_text(f"[sagakit]\n{toml}\n")
    url = ["--nats", "tls://127.0.0.1:1", "--config", str(file)]
    with worker(tmp_path / "one", "sagas", *url, *arguments, **environment) as process:
        assert await process.ended() == CommandExit.CONFIG
        assert says in process.lines[-1]["message"]


async def test_options_that_stand_in_no_table_are_not_ignored(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text("lease_ttl = 3\n")
    url = ["--nats", "tls://127.0.0.1:1", "--config", str(file)]
    with worker(tmp_path / "one", "sagas", *url) as process:
        assert await process.ended() == CommandExit.CONFIG
        assert "it has no table [sagakit]" in process.lines[-1]["message"]


async def test_a_file_without_a_table_of_options(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text("sagakit = 3\n")
    with worker(tmp_path / "one", "sagas", "--nats", "memory:", "--config", str(file)) as process:
        assert await process.ended() == CommandExit.CONFIG
        assert "write a table, [sagakit]" in process.lines[-1]["message"]


async def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, server: Server, namespace: str
) -> None:
    file = tmp_path / "options.toml"
    file.write_text('[sagakit]\ndrain_timeout = 1\nworker_name = "toml"\nnamespace = "toml"\n')
    given = {"SAGAKIT_WORKER_NAME": "env", "SAGAKIT_NAMESPACE": "env", "SAGAKIT_NATS_URL": server.url}
    arguments = ["--config", str(file), "--namespace", namespace]
    with worker(tmp_path / "one", "sagas", *arguments, **given) as process:
        up = await process.said("is up")
        assert up["worker_id"].startswith("env-")
        await start(server.url, namespace, "Wait", "w")
        await process.noted("called")
        process.signal(signal.SIGTERM)
        assert "up to 1 s" in (await process.said("draining"))["message"]
        assert await process.ended() == CommandExit.DRAINED


async def test_health_while_it_lives_drains_and_has_no_server(tmp_path: Path, namespace: str) -> None:
    gate = tmp_path / "gate"
    with running_server(tmp_path / "nats") as server:
        arguments = ["--nats", server.url, "--namespace", namespace, "--health", "127.0.0.1:0", "--drain-timeout", "60"]
        with worker(tmp_path / "one", "sagas", *arguments) as process:
            url = await process.health()
            worker_id = (await process.said("is up"))["worker_id"]
            assert (await get(f"{url}/live")).status_code == 200
            await answers(f"{url}/ready", 200, {"ready": True})
            await start(server.url, namespace, "Wait", "w", gate=str(gate))
            await process.noted("called")
            metrics = (await get(f"{url}/metrics")).text.splitlines()
            assert "sagakit_ready 1.0" in metrics
            assert "sagakit_sagas_active 1.0" in metrics
            assert "# TYPE sagakit_adopted_total counter" in metrics
            assert f'sagakit_worker_info{{worker_id="{worker_id}"}} 1.0' in metrics
            server.kill()
            await answers(f"{url}/ready", 503, {"ready": False, "why": "not connected to NATS, or no lease in force"})
            assert (await get(f"{url}/live")).status_code == 200
            server.start()
            await answers(f"{url}/ready", 200, {"ready": True})
            process.signal(signal.SIGTERM)
            await process.said("draining")
            await answers(f"{url}/ready", 503, {"ready": False, "why": "draining"})
            assert "sagakit_ready 0.0" in (await get(f"{url}/metrics")).text.splitlines()
            gate.touch()
            assert await process.ended() == CommandExit.DRAINED


async def test_health_before_there_is_a_server(tmp_path: Path) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    arguments = ["--nats", url, "--health", "127.0.0.1:0"]
    with worker(tmp_path / "one", "sagas", *arguments, SAGAKIT_CONNECT_TIMEOUT="600") as process:
        health = await process.health()
        assert (await get(f"{health}/live")).status_code == 200
        await answers(f"{health}/ready", 503, {"ready": False, "why": "starting"})
        assert "sagakit_ready 0.0" in (await get(f"{health}/metrics")).text.splitlines()


async def answers(url: str, code: int, body: object) -> None:
    """Return once it does."""
    with trio.fail_after(60):
        while ((answer := await get(url)).status_code, answer.json()) != (code, body):  # noqa: ASYNC110  # over HTTP
            await trio.sleep(0.05)


async def test_logs_are_one_json_object_a_line_or_text(tmp_path: Path, server: Server, namespace: str) -> None:
    given = ["--nats", server.url, "--namespace", namespace]
    with worker(tmp_path / "json", "breaks", *given) as process:
        assert await process.ended() == CommandExit.CRASH
        for line in process.lines:
            assert line.keys() >= {"time", "level", "logger", "message"}
        assert "LookupError" in process.lines[-1]["exc_info"]
    with worker(tmp_path / "text", "empty", *given, "--log-format", "text", "--health", "127.0.0.1:0") as text:
        await text.ended()
    told = (tmp_path / "text" / "log").read_text()
    assert "INFO    sagakit.health: health at http://127.0.0.1:" in told
    assert "CRITICAL sagakit.worker: tests.cli.jobs:empty holds no sagas" in told
    with worker(tmp_path / "quiet", "empty", *given, "--log-level", "warning", "--health", "127.0.0.1:0") as quiet:
        await quiet.ended()
        assert [line["level"] for line in quiet.lines] == ["CRITICAL"]
