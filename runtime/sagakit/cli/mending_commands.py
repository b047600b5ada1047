"""The operator commands that mend sagas: retry, cancel, compensate, terminate, complete-step, mark-undone."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer

from sagakit.cli.changing import Order, change
from sagakit.cli.command_options import AUDITED, CONNECTION, ConfigFile, Nats, SagaWords, with_options
from sagakit.cli.printing import Output, OutputFormat

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
StepName: TypeAlias = Annotated[
    str, typer.Option(help="Required: the name of the step; label/2 for an item of an each.")
]


@commands.command()
@with_options(AUDITED | CONNECTION)
def retry(
    sagas: SagaWords = None,
    nats: Nats = "",
    config: ConfigFile = None,
    output: Output = OutputFormat.table,
    *,
    options: dict[str, Any],
) -> None:
    """Let stuck sagas go on, with fresh retries and new keys. This says that a step in doubt did not happen."""
    change(Order.of("retry", sagas, options), nats, config, output, options)


@commands.command()
@with_options(AUDITED | CONNECTION)
def cancel(
    sagas: SagaWords = None,
    nats: Nats = "",
    config: ConfigFile = None,
    output: Output = OutputFormat.table,
    *,
    options: dict[str, Any],
) -> None:
    """Ask that all done steps be undone. The request waits while the pivot is open; it is too late after it."""
    change(Order.of("cancel", sagas, options), nats, config, output, options)


@commands.command()
@with_options(AUDITED | CONNECTION)
def compensate(
    sagas: SagaWords = None,
    nats: Nats = "",
    config: ConfigFile = None,
    output: Output = OutputFormat.table,
    *,
    options: dict[str, Any],
) -> None:
    """Undo what can be undone, even if the saga is stuck at its pivot or after it: you answer for that."""
    change(Order.of("compensate", sagas, options), nats, config, output, options)


@commands.command()
@with_options(AUDITED | CONNECTION)
def terminate(
    sagas: SagaWords = None,
    nats: Nats = "",
    config: ConfigFile = None,
    output: Output = OutputFormat.table,
    *,
    options: dict[str, Any],
) -> None:
    """End sagas now, and undo nothing."""
    change(Order.of("terminate", sagas, options), nats, config, output, options)


@commands.command("complete-step")
@with_options(AUDITED | CONNECTION)
def complete_step(
    sagas: SagaWords = None,
    step: StepName = "",
    result: Annotated[str, typer.Option(help="The result as JSON, or @FILE.")] = "null",
    nats: Nats = "",
    config: ConfigFile = None,
    output: Output = OutputFormat.table,
    *,
    options: dict[str, Any],
) -> None:
    """Give a step that is held or waiting its result by hand, and let the saga go on."""
    change(Order.of("complete-step", sagas, options, step=step, payload=result), nats, config, output, options)


@commands.command("mark-undone")
@with_options(AUDITED | CONNECTION)
def mark_undone(
    sagas: SagaWords = None,
    step: StepName = "",
    nats: Nats = "",
    config: ConfigFile = None,
    output: Output = OutputFormat.table,
    *,
    options: dict[str, Any],
) -> None:
    """Say that the compensation of a step was done by hand."""
    change(Order.of("mark-undone", sagas, options, step=step), nats, config, output, options)
