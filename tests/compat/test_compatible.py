"""This code keeps what the last release has promised: the Python API, the wire both ways, and the JSON of commands."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from sagakit.definition.compatibility import readable

from tests.compat.api import broken, public_api
from tests.compat.promises import CLI, LAST, SCHEMAS, cli_schemas, wire_schemas

API = json.loads((LAST / "api.json").read_text())
LAST_WIRE, WIRE = wire_schemas(LAST / "wire"), wire_schemas(SCHEMAS)
LAST_CLI, NOW_CLI = cli_schemas(LAST / "cli.json"), cli_schemas(CLI)


def test_a_program_for_the_last_release_runs_on_this_one() -> None:
    assert not list(broken(API, public_api())), (
        "break it only with a newsfragment `removal`, then run: python -m tests.compat"
    )


@pytest.mark.parametrize("name", LAST_WIRE)
def test_each_side_of_a_rolling_deployment_reads_what_the_other_one_writes(name: str) -> None:
    assert not readable(LAST_WIRE[name], WIRE[name]), "this code cannot read what the last release writes"
    assert not readable(WIRE[name], LAST_WIRE[name]), "the last release cannot read what this code writes"


@pytest.mark.parametrize("name", LAST_CLI)
def test_a_script_for_the_json_of_the_last_release_reads_that_of_this_one(name: str) -> None:
    assert not readable(NOW_CLI[name], LAST_CLI[name])


# ------------------------------------------------------------------ the judge itself


def without_field(schemas: dict[str, Any], name: str, struct: str, field: str) -> Any:
    schema = copy.deepcopy(schemas[name])
    del schema["$defs"][struct]["properties"][field]
    schema["$defs"][struct]["required"].remove(field)
    return schema


def test_a_field_that_goes_from_a_record_is_found() -> None:
    changed = without_field(WIRE, "record", "PersistedSagaState", "epoch")
    assert any("epoch" in one.path for one in readable(changed, LAST_WIRE["record"]))


def test_a_field_that_goes_from_the_json_of_a_command_is_found() -> None:
    changed = without_field(NOW_CLI, "SagaLine", "SagaLine", "status")
    assert any("status" in one.path for one in readable(changed, LAST_CLI["SagaLine"]))


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ({}, ["f has gone"]),
        ({"f": None}, ["f: cannot be called any more"]),
        ({"f": {"a": ["POSITIONAL_OR_KEYWORD", False]}}, ["f: the parameter b has gone"]),
        (
            {"f": {"a": ["POSITIONAL_OR_KEYWORD", False], "b": ["KEYWORD_ONLY", False]}},
            ["f: the parameter b must be given"],
        ),
        (
            {"f": {"a": ["KEYWORD_ONLY", False], "b": ["KEYWORD_ONLY", True]}},
            ["f: the parameter a is given in another way", "f: the order of its parameters is another one"],
        ),
        (
            {
                "f": {
                    "a": ["POSITIONAL_OR_KEYWORD", False],
                    "b": ["KEYWORD_ONLY", True],
                    "c": ["KEYWORD_ONLY", False],
                }
            },
            ["f: the new parameter c must be given"],
        ),
        ({"f": {"a": ["POSITIONAL_OR_KEYWORD", False], "b": ["POSITIONAL_OR_KEYWORD", True]}}, []),
        ({"f": {"a": ["POSITIONAL_OR_KEYWORD", True], "more": ["VAR_KEYWORD", True]}, "g": None}, []),
    ],
)
def test_what_breaks_a_program_is_found(now: Any, found: list[str]) -> None:
    before: Any = {"f": {"a": ["POSITIONAL_OR_KEYWORD", False], "b": ["KEYWORD_ONLY", True]}}
    assert list(broken(before, now)) == found
