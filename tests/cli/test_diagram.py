"""`sagakit diagram` and `schema`: an error in the argument or the class is one line, without a traceback."""

from __future__ import annotations

import json

import pytest
from sagakit.cli.app import app
from sagakit.cli.exits import CommandExit
from typer.testing import CliRunner

from examples.orders.saga import PlaceOrder


@pytest.mark.parametrize(
    ("address", "code", "says"),
    [
        (":X", CommandExit.USAGE, "write MODULE:CLASS"),
        ("tests.cli.jobs:", CommandExit.USAGE, "write MODULE:CLASS"),
        ("..:Ok", CommandExit.USAGE, "write MODULE:CLASS"),
        ("tests..jobs:Wait", CommandExit.USAGE, "no module"),
        ("tests.cli.jobs:Wait.wait", CommandExit.USAGE, "is not a Saga class; it has the Saga classes Wait, Block"),
        ("tests.cli.jobs:Nobody", CommandExit.USAGE, "has no 'Nobody'; it has the Saga classes Wait, Block"),
        ("tests.cli.processes:Nobody", CommandExit.USAGE, "has no 'Nobody'; it has no Saga classes"),
        ("sagakit:Saga", CommandExit.DEFINITION, "has no steps"),
        ("tests.cli.jobs:Late", CommandExit.DEFINITION, "Nowhere is not known at run time"),
    ],
)
@pytest.mark.parametrize("command", ["diagram", "schema"])
def test_what_is_wrong_is_said(command: str, address: str, code: CommandExit, says: str) -> None:
    done = CliRunner().invoke(app, [command, address])
    assert done.exit_code == code
    assert says in done.stderr
    assert "Traceback" not in done.output


def test_the_schemas_of_a_saga_are_printed() -> None:
    done = CliRunner().invoke(app, ["schema", "examples.orders.saga:PlaceOrder"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == PlaceOrder.schema()
