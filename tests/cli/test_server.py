"""`sagakit server`: a NATS server on the loopback, and what it refuses."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from sagakit.cli.exits import CommandExit
from sagakit.errors import CannotConnect
from sagakit.jetstream.embedded import embedded_server
from sagakit.jetstream.ports import free_port

from tests.cli.processes import SAGAKIT


def test_a_port_that_is_taken_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [SAGAKIT, "server", "--port", str(port)], cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == CommandExit.UNAVAILABLE
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr
    assert "choose another port" in done.stderr


def test_the_server_needs_no_package_of_the_console(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program = (
            "import runpy, sys; sys.modules['hypercorn'] = sys.modules['starlette'] = None\n"
            f"sys.argv = ['sagakit', 'server', '--port', '{taken.getsockname()[1]}']\n"
            "runpy.run_module('sagakit', run_name='__main__')"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert done.returncode == CommandExit.UNAVAILABLE, done.stderr


async def test_the_server_listens_at_the_port_and_a_second_one_joins_only_at_the_same_port(tmp_path: Path) -> None:
    port = free_port()
    async with embedded_server(tmp_path, sync="relaxed", port=port) as url:
        assert url == f"nats://127.0.0.1:{port}"
        async with embedded_server(tmp_path, port=port) as joined:
            assert joined == url
        other = free_port()
        with pytest.raises(CannotConnect, match=f"runs the nats-server of .* at {url}, not at port {other}"):
            async with embedded_server(tmp_path, port=other):
                raise AssertionError("it joined")
