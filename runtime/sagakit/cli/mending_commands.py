"""The operator commands that mend sagas: retry, cancel, compensate, terminate, complete-step, mark-undone."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import typer

from sagakit.cli.changing import Order, change
from sagakit.cli.command_options import AUDITED, SagaWords
from sagakit.cli.completing import offer_steps
from sagakit.cli.session import Session, in_session
from sagakit.engine import InboundKind

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
StepName: TypeAlias = Annotated[
    str,
    typer.Option(autocompletion=offer_steps, help="Required: the name of the step; label/2 for an item of an each."),
]


def _add(verb: InboundKind, text: str) -> None:
    """Add the command of a verb that is about whole sagas; `text` is its help."""

    def command(session: Session, sagas: SagaWords = None, *, options: dict[str, Any]) -> None:
        change(session, Order(verb=verb, sagas=sagas, **options))

    commands.command(verb, help=text)(in_session(AUDITED)(command))


_add(
    "retry",
    "Let stuck sagas go on, with fresh retries and new keys. This says that a step in doubt did not happen.",
)
_add(
    "cancel",
    "Ask that all done steps be undone. The request waits while the pivot is open; it is too late after it.",
)
_add("compensate", "Undo what can be undone, even if the saga is stuck at its pivot or after it: you answer for that.")
_add("terminate", "End sagas now, and undo nothing.")


@commands.command("complete-step")
@in_session(AUDITED)
def complete_step(
    session: Session,
    sagas: SagaWords = None,
    step: StepName = "",
    result: Annotated[str, typer.Option(help="The result as JSON, or @FILE.")] = "null",
    *,
    options: dict[str, Any],
) -> None:
    """Give a step that is held or waiting its result by hand, and let the saga go on."""
    change(session, Order(verb="complete-step", sagas=sagas, step=step, payload=result, **options))


@commands.command("mark-undone")
@in_session(AUDITED)
def mark_undone(session: Session, sagas: SagaWords = None, step: StepName = "", *, options: dict[str, Any]) -> None:
    """Say that the compensation of a step was done by hand."""
    change(session, Order(verb="mark-undone", sagas=sagas, step=step, **options))
