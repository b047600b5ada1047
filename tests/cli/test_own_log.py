"""A command that runs inside another program leaves that program's log alone."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sagakit.cli.app import app
from sagakit.jetstream.ports import free_port
from typer.testing import CliRunner


@pytest.mark.parametrize("words", [["list"], ["list", "-o", "json"], ["doctor"]], ids=" ".join)
def test_a_command_leaves_the_log_of_its_process_as_it_was(words: list[str], tmp_path: Path) -> None:
    """A handler that stays behind would write to a stream that is closed by then."""
    logger = logging.getLogger("sagakit")
    before = list(logger.handlers), logger.propagate
    nobody = {"HOME": str(tmp_path), "NATS_URL": f"nats://127.0.0.1:{free_port()}", "SAGAKIT_CONNECT_TIMEOUT": "0.1"}
    done = CliRunner().invoke(app, words, env=nobody)
    assert done.exit_code in (1, 69), done.output
    assert (logger.handlers, logger.propagate) == before
