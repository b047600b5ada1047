"""The operator commands as a person calls them, against one server and one worker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sagakit.cli.app import app
from typer.testing import CliRunner

from tests.cli.processes import worker
from tests.servers import running_server

PATIENCE = 90.0


class Said(NamedTuple):
    """The end of a command: its exit code, and the texts that it has printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


class Operator:
    """A person at a shell without a terminal; `parcels` are sagas that get stuck at `hand_over`."""

    def __init__(self, url: str, folder: Path, **account: str) -> None:
        self.url = url
        self.account = account
        self.folder = folder

    def says(self, *words: str, input: str = "", environment: Mapping[str, str] | None = None) -> Said:
        given = {"NATS_URL": self.url, "COLUMNS": "200", **self.account, **(environment or {})}
        done = CliRunner().invoke(app, list(words), input=input, env=given)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    def starts_parcel(self, id: str, *, bank: str = "") -> str:
        """Start a parcel, wait until it is stuck, and return its key."""
        given = msgspec.json.encode({"carrier": str(self.folder / f"carrier-{id}"), "bank": bank}).decode()
        said = self.says("start", "Deliver", "--id", id, "--input", given, "--attribute", "region=eu", "-o", "json")
        assert said.code == 0, said.err
        key = said.json["key"]
        self.awaits(key, "stuck")
        return str(key)

    def lets_carrier_work(self, id: str) -> None:
        (self.folder / f"carrier-{id}").touch()

    def awaits(self, key: str, status: str) -> Any:
        """Ask until the saga has this status, and return its description."""
        until = time.monotonic() + PATIENCE
        while True:
            said = self.says("describe", key, "-o", "json")
            if said.code == 0 and said.json["status"] == status:
                return said.json
            assert time.monotonic() < until, f"{key} is not {status}: {said}"

    def finds(self, *words: str) -> Any:
        """Ask until a command finds something, and return its lines."""
        until = time.monotonic() + PATIENCE
        while not (lines := self.says(*words, "-o", "json").json):
            assert time.monotonic() < until, f"{words}: nothing was found"
        return lines


@contextmanager
def running_operator(folder: Path, sagas: str = "parcels") -> Iterator[Operator]:
    """Run a server and a worker for these sagas of `tests.cli.jobs` while the context is open."""
    with (
        running_server(folder / "server") as server,
        worker(folder / "worker", sagas, "--nats", server.url, "--name", "post"),
    ):
        yield Operator(server.url, folder)
