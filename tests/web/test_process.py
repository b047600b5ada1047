"""`sagakit web` as a process, and what it refuses before it starts."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sagakit import Client
from sagakit.cli.console_process import ConsoleCall
from sagakit.cli.exits import UsageError
from sagakit.web.visitors import Everyone, Proxy, Tokens

from tests.cli.processes import ROOT, SAGAKIT, said
from tests.client.faces import CLIENTS, Buy, Order, worker
from tests.servers import Server

TOKEN = "t" * 24


def test_the_command_serves_until_a_signal_comes(server: Server, namespace: str) -> None:
    command = [
        SAGAKIT,
        "web",
        "--nats",
        server.url,
        "--namespace",
        namespace,
        "--listen",
        "127.0.0.2:0",  # of loopback, too
        "--role",
        "admin",
    ]
    with worker(server, namespace), subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = said(process, "the console is at")
            found = re.search(r"at (http://127\.0\.0\.2:\d+); everyone is admin", line)
            assert found is not None, line
            body = {"id": "one", "input": {"number": 3}}
            with httpx.Client(base_url=found[1], timeout=60) as http:
                answer = http.post("/api/sagas/Buy", json=body, headers={"Prefer": "wait=60"})
                assert (answer.status_code, answer.json()["output"]) == (200, "3 unasked")
                assert http.get("/api/groups", headers={"Host": "evil.example"}).status_code == 421
                with http.stream("GET", "/api/sagas/Buy/one/events?after=start") as stream:
                    assert "started" in next(line for line in stream.iter_lines() if line.startswith("data:"))
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(60) == 0
        finally:
            process.kill()


def call(listening: str = "127.0.0.1", **options: object) -> object:
    """Return the authentication of a call that listens there."""
    with socket.create_server((listening, 0)) as bound:
        return ConsoleCall(url="nats://x", listen="", **options).authentication(bound)  # type: ignore[arg-type]


def test_where_others_can_reach_it_visitors_are_asked_who_they_are(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"ann admin {TOKEN}\n")
    assert isinstance(call(), Everyone)
    with pytest.raises(UsageError, match="--tokens FILE or --proxy-header"):
        call("0.0.0.0")
    assert isinstance(call("0.0.0.0", tokens=str(tmp_path / "tokens")), Tokens)
    assert isinstance(call("0.0.0.0", proxy_header="X-User", proxy_from=["10.0.0.0/8"]), Proxy)
    with pytest.raises(UsageError, match="not in both"):
        call(tokens="x", proxy_header="X-User")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--listen", "0.0.0.0:0"], 2, "can be reached from other machines"),
        (["--listen", "here"], 78, "write HOST:PORT"),
        (["--listen", "127.0.0.1:0", "--tokens", "/none"], 78, "cannot be read"),
        (["--listen", "127.0.0.1:0", "--proxy-header", "X-User"], 78, "Name the networks"),
        (["--listen", "127.0.0.1:0", "--proxy-from", "10.0.0.0/8", "--role", "admin"], 2, "--proxy-header NAME"),
        (["--listen", "127.0.0.1:0", "--proxy-role-header", "X-Role"], 2, "--proxy-header NAME"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_connected(
    arguments: list[str], code: int, text: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagakit.cli import logs
    from sagakit.cli.app import app
    from typer.testing import CliRunner

    monkeypatch.setattr(logs, "set_up", lambda *_: None)
    done = CliRunner().invoke(app, ["web", "--nats", "nats://127.0.0.1:1", *arguments])
    assert (done.exit_code, text in caplog.text) == (code, True), caplog.text


def test_an_asyncio_service_has_the_console_without_trio(server: Server, namespace: str) -> None:
    async def start(client: Client) -> None:
        await client.start(Buy, "one", Order(), wait="ended")

    with worker(server, namespace):
        CLIENTS["asyncio"](server.url, start, namespace=namespace)
        command = [sys.executable, "-W", "error", "-m", "tests.web.without_trio", server.url, namespace]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
