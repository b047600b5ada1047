"""Tests of docs/deploying.md and examples/deploy: Kubernetes knows the manifests, and sagakit their commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import typer.main
import yaml
from sagakit import Config
from sagakit.cli.app import app
from sagakit.cli.exits import CommandExit

from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "deploying.md"
FOLDER = ROOT / "examples" / "deploy"
MANIFESTS = sorted((FOLDER / "kubernetes").glob("*.yaml"))
RESOURCES = [
    pytest.param(resource, id=f"{path.name}-{resource['kind']}")
    for path in MANIFESTS
    for resource in yaml.safe_load_all(path.read_text())
]
VERSIONS = ("1.30", kubernetes_validate.latest_version())
"""The versions of Kubernetes whose schemas the manifests have to fit."""
CONNECTION = {"SAGAKIT_NATS_URL"}
"""The variables that are no option."""


def pod(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the specification of the pod of a resource that has one."""
    if "template" in resource["spec"]:
        yield resource["spec"]["template"]["spec"]


def containers() -> Iterator[dict[str, Any]]:
    """Yield the containers of all manifests."""
    for path in MANIFESTS:
        for resource in yaml.safe_load_all(path.read_text()):
            for spec in pod(resource):
                yield from spec["containers"]


def unit() -> dict[str, list[str]]:
    """Return the settings of the unit by their names."""
    settings: dict[str, list[str]] = {}
    for line in (FOLDER / "shop-sagas.service").read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals:
            settings.setdefault(name, []).append(value)
    return settings


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("resource", RESOURCES)
def test_kubernetes_knows_each_field_of_a_manifest(resource: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(resource, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    resource = yaml.safe_load((FOLDER / "kubernetes" / "setup.yaml").read_text())
    resource["spec"]["template"]["spec"]["containers"][0]["arguments"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="arguments"):
        kubernetes_validate.validate(resource, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_selector_fits_the_pods_and_a_volume_is_there(resource: dict[str, Any]) -> None:
    labels = [
        one["spec"]["template"]["metadata"]["labels"]
        for path in MANIFESTS
        for one in yaml.safe_load_all(path.read_text())
        if one["kind"] == "Deployment"
    ]
    selector = resource["spec"].get("selector")
    assert selector is None or selector.get("matchLabels", selector) in labels
    for spec in pod(resource):
        mounted = {mount["name"] for one in spec["containers"] for mount in one["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_sagakit_understands_the_commands_of_the_manifests_and_of_the_unit() -> None:
    lines = [one["args"] for one in containers()]
    (start,) = unit()["ExecStart"]
    program, *rest = shlex.split(start)
    assert Path(program).name == "sagakit"
    assert {name for name, *_ in lines} == {"sagakit"}
    for arguments in [*(line[1:] for line in lines), rest]:
        understood(arguments)
    with pytest.raises(Exception, match="--helth"):
        understood(["worker", "shop:sagas", "--helth", ":1"])


def understood(arguments: list[str]) -> None:
    """Parse a command line as `sagakit` does. Raises for what it does not know."""
    group: Any = typer.main.get_command(app)
    with group.make_context("sagakit", list(arguments)) as context:
        name, command, rest = group.resolve_command(context, list(arguments))
        command.make_context(name, rest, parent=context)


def test_the_variables_are_options_of_sagakit() -> None:
    options = {f"SAGAKIT_{field.name.upper()}" for field in msgspec.structs.fields(Config)}
    set_here = {variable["name"] for one in containers() for variable in one["env"]}
    set_here |= {value.partition("=")[0] for value in unit()["Environment"]}
    assert set_here - CONNECTION <= options


def test_the_page_shows_the_files() -> None:
    assert blocks(PAGE, "ini") == [(FOLDER / "shop-sagas.service").read_text()]
    assert blocks(PAGE, "yaml") == [(FOLDER / "kubernetes" / "workers.yaml").read_text()]
    listed = (FOLDER / "README.md").read_text()
    files = [path.relative_to(FOLDER) for path in FOLDER.rglob("*") if path.is_file() and path.suffix != ".md"]
    assert all(f"]({path})" in listed for path in files)


def test_the_unit_starts_again_only_after_what_another_start_can_help() -> None:
    never = " ".join(str(int(code)) for code in CommandExit if code and not code.restart)
    assert unit()["RestartPreventExitStatus"] == [never]


def test_the_unit_and_the_pod_leave_time_to_drain() -> None:
    assert int(unit()["TimeoutStopSec"][0]) > Config().drain_timeout
    (deployment, _) = yaml.safe_load_all((FOLDER / "kubernetes" / "workers.yaml").read_text())
    (spec,) = pod(deployment)
    variables = {variable["name"]: variable.get("value") for variable in spec["containers"][0]["env"]}
    assert spec["terminationGracePeriodSeconds"] > float(variables["SAGAKIT_DRAIN_TIMEOUT"])
