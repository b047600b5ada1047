"""The JavaScript participant of examples/participant-js, with its packages, as processes for tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from tests.child_lines import ChildLines
from tests.docs.blocks import ROOT, blocks
from tests.docs.printed import outputs

SOURCE = Path(__file__).parents[2] / "examples" / "participant-js"
LOCK = SOURCE / "package-lock.json"
KEPT = Path(sys.prefix) / "npm"
"""The folder for packages of npm: they are installed once for each lock file."""
INSTALL_WITHIN = 300
"""Seconds in which npm has to install them."""


def program(name: str) -> str:
    """Return the path of `node` or `npm`."""
    if found := shutil.which(name):
        return found
    raise FileNotFoundError(
        f"{name} is missing, with which the JavaScript participant is tested: install Node 18 or later, and npm "
        "(`apt-get install nodejs npm`; .ci/install does that)"
    )


def installed(source: Path = SOURCE) -> Path:
    """Return a `node_modules` with the packages of the lock file in `source`."""
    lock = (source / "package-lock.json").read_bytes()
    folder = KEPT / f"{source.name}-{sha256(lock).hexdigest()[:16]}"
    if not folder.exists():
        KEPT.mkdir(exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=KEPT, prefix="part-"))
        for file in ("package.json", "package-lock.json"):
            shutil.copy(source / file, part)
        done = subprocess.run(
            [program("npm"), "ci", "--no-audit", "--no-fund", "--prefer-offline"],
            cwd=part, capture_output=True, text=True, check=False, timeout=INSTALL_WITHIN,
        )  # fmt: skip
        assert done.returncode == 0, f"`npm ci` in {source} fails; does it reach its registry?\n{done.stderr}"
        try:
            part.rename(folder)
        except OSError:
            if not folder.exists():  # else another process has installed them meanwhile
                raise
    return folder / "node_modules"


def copied(folder: Path) -> Path:
    """Copy the package into a folder, with its packages, and return the copy."""
    there = folder / "participant-js"
    shutil.copytree(SOURCE, there, ignore=shutil.ignore_patterns("node_modules", "*.db", "*.lock"))
    (there / "node_modules").symlink_to(installed())
    return there


@contextmanager
def shipping(package: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run the service in the package's folder, and yield it once it serves; kill it in the end if it still runs."""
    process = subprocess.Popen(
        [program("node"), "shipping.js"], cwd=package, env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        _, _, serves = outputs(blocks(ROOT / "docs" / "participants.md", "console")[0]).values()
        assert ChildLines(process).next() == serves
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def closed(process: subprocess.Popen[str]) -> int:
    """Ask the service to end, and return its exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def client(package: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """Run the client for one saga, and return what it prints."""
    done = subprocess.run(
        [program("node"), "client.js", *arguments], cwd=package, env={**os.environ, **environment},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
