"""The command `doctor`: checks that change nothing, as text, JSON, for Nagios and for Prometheus."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import trio
import typer

from sagakit.cli.command_options import CONNECTION, ConfigFile, Nats, RoleName, with_options
from sagakit.cli.exits import CommandExit, UsageError, exit_of
from sagakit.cli.findings_text import NAGIOS, nagios_text, nagios_unknown, people_text, prometheus_text, worst_of
from sagakit.cli.own_log import logged_to
from sagakit.cli.printing import OutputFormat, check_output, print_error, print_lines, text_lines
from sagakit.client.json_shapes import FindingLine
from sagakit.doctor import CHECKS, Diagnosis, Monitored, examine, not_connected, open_patient, read_monitoring
from sagakit.errors import CannotConnect, SagakitError
from sagakit.store.permissions import Role
from sagakit.system.config import Config

commands: typer.Typer = typer.Typer(rich_markup_mode=None)


class DoctorFormat(StrEnum):
    """The format of the doctor's output."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    yaml = "yaml"
    none = "none"
    nagios = "nagios"
    prometheus = "prometheus"


class _CheckResult(NamedTuple):
    findings: Sequence[Diagnosis]
    code: int


@commands.command()
@with_options(CONNECTION)
def doctor(
    nats: Nats = "",
    config: ConfigFile = None,
    output: Annotated[
        DoctorFormat,
        typer.Option("-o", "--output", "--format", help="As for other commands; or a plugin's output for a monitor."),
    ] = DoctorFormat.table,
    monitor: Annotated[
        str | None, typer.Option(metavar="URL", help="The server's monitoring port, such as http://host:8222.")
    ] = None,
    role: Annotated[RoleName | None, typer.Option(help="Check this account's permissions for this role.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Only checks whose codes begin so: SK1, SK303; may be repeated."),
    ] = None,
    *,
    options: dict[str, Any],
) -> None:
    """Check server, streams, fleet and sagas, and say what to do about each finding. Changes nothing.

    Exit codes: 0 where no check is bad, 1 where one is, and without a connection the one
    that `sagakit explain NAME` gives for the error.
    """
    try:
        _check(only, output)
        found = Config.load(config, **options)
        with logged_to(logging.NullHandler()):  # the findings say all, and a monitor may read both outputs
            monitored = None if monitor is None else read_monitoring(monitor)
            told = trio.run(_examined, nats, found, monitored, role, only or [])
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (SagakitError, UsageError) as error:
        if output is DoctorFormat.nagios:
            typer.echo(nagios_unknown(error))
            raise typer.Exit(NAGIOS["unknown"][0]) from None
        code = exit_of(error)
        print_error(error, code, _plain(output))
        raise typer.Exit(code) from None
    lines = [_line(finding) for finding in told.findings]
    _print(lines, output)
    raise typer.Exit(NAGIOS[worst_of(lines)][0] if output is DoctorFormat.nagios else told.code)


def _check(only: Sequence[str] | None, output: DoctorFormat) -> None:
    """Raise UsageError for codes that no check has, and for a format that needs a package which is missing."""
    for code in only or ():
        if not any(check.code.startswith(code) for check in CHECKS):
            raise UsageError(f"--only {code}: no check has such a code; there are {', '.join(c.code for c in CHECKS)}")
    check_output(_plain(output))


def _plain(output: DoctorFormat) -> OutputFormat:
    return OutputFormat(output.value) if output.value in set(OutputFormat) else OutputFormat.table


async def _examined(
    url: str, config: Config, monitored: Monitored | str | None, role: RoleName | None, only: Sequence[str]
) -> _CheckResult:
    try:
        named: Role | None = None if role is None else role.value
        async with open_patient(url, config, role=named, monitored=monitored) as patient:
            findings = await examine(patient, only)
    except CannotConnect as error:
        return _CheckResult(not_connected(error, only), exit_of(error))
    is_bad = any(finding.result == "bad" for finding in findings)
    return _CheckResult(findings, CommandExit.NOT_APPLIED if is_bad else CommandExit.DRAINED)


def _line(finding: Diagnosis) -> FindingLine:
    return FindingLine(
        code=finding.code,
        check=finding.name,
        result=finding.result,
        found=finding.found,
        means=finding.means,
        advice=finding.advice,
        value=finding.value,
    )


def _print(lines: Sequence[FindingLine], output: DoctorFormat) -> None:
    if output is DoctorFormat.nagios:
        typer.echo(nagios_text(lines))
    elif output is DoctorFormat.prometheus:
        typer.echo(prometheus_text(lines))
    elif output is DoctorFormat.table:
        typer.echo(text_lines(people_text(lines)))
    else:
        print_lines(lines, {}, _plain(output))
