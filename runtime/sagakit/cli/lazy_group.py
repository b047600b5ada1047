"""The group of all commands. The module of a command is imported when the command is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import typer
import typer.core
import typer.main

from sagakit.cli.plain_options import take_plain

LATER: Mapping[str, tuple[str, str]] = {
    "list": ("looking_commands", "List sagas, newest first."),
    "describe": ("looking_commands", "Show one saga: values, steps, attempts, errors."),
    "history": ("looking_commands", "Show the events of one saga, in order."),
    "replay": ("history_commands", "Show the states of one saga, event by event."),
    "count": ("looking_commands", "Count sagas by type and status."),
    "groups": ("looking_commands", "Group the stuck sagas by type, step and error."),
    "workers": ("looking_commands", "List the workers by their leases."),
    "export": ("export_commands", "Write sagas, steps or events into a file."),
    "import": ("import_command", "Copy exported sagas into an embedded server, to look at them."),
    "sql": ("export_commands", "Query sagas, steps and events by SQL."),
    "watch": ("watching_commands", "Print events as they come."),
    "trace": ("watching_commands", "Draw the family of a saga as a tree."),
    "store": ("store_commands", "Compare records with events, and rebuild what was lost."),
    "audit": ("audit_command", "List the verbs that operators gave, with their reasons."),
    "jobs": ("job_commands", "List the jobs: verbs for many sagas."),
    "dead-letters": ("letter_commands", "List, edit, resend and delete messages that could never be applied."),
    "doctor": ("checking_commands", "Check server, streams, fleet and sagas, and say what to do."),
    "retry": ("mending_commands", "Let stuck sagas go on, with fresh retries."),
    "cancel": ("mending_commands", "Ask that sagas be undone."),
    "compensate": ("mending_commands", "Undo what can be undone, even past the pivot."),
    "terminate": ("mending_commands", "End sagas now, and undo nothing."),
    "complete-step": ("mending_commands", "Give a step its result by hand."),
    "mark-undone": ("mending_commands", "Say that a compensation was done by hand."),
    "start": ("sending_commands", "Start a saga by the name of its type."),
    "signal": ("sending_commands", "Send a signal to sagas."),
    "delete": ("sending_commands", "Delete what is kept of ended sagas."),
}
"""The operator commands: the module of each, and its line in the list of commands."""
OTHERS: Mapping[str, tuple[str, str]] = {
    "worker": ("running_commands", "Run sagas in this process until a signal comes, then drain."),
    "web": ("console_commands", "Serve the console and the HTTP API."),
    "dev": ("console_commands", "Run a server, a worker and the console while you write sagas."),
    "server": ("server_command", "Run a NATS server for this machine, to try things out."),
    "setup": ("running_commands", "Make the buckets and streams that are missing."),
    "permissions": ("running_commands", "Print the least permissions that a role needs."),
    "context": ("context_commands", "List, show and select contexts of the `nats` command."),
    "config": ("running_commands", "List every option of a runtime."),
    "metrics": ("running_commands", "Print a dashboard for Grafana, or alert rules."),
    "init": ("writing_commands", "Make a project that runs: a saga, tests, a demo."),
    "diagram": ("writing_commands", "Print a saga's plan as a Mermaid flowchart."),
    "schema": ("writing_commands", "Print the JSON Schemas of what a saga keeps."),
    "contract": ("contract_commands", "Print what sagas exchange with others, and what a change breaks."),
    "explore": ("writing_commands", "Run a saga with every single fault."),
    "conformance": ("conformance_command", "Try a participant against the contract, over NATS."),
    "explain": ("explaining", "Say what causes an error, and what cures it."),
    "demo": ("writing_commands", "Fulfill orders as sagas, then audit the books."),
}
"""The other commands: the module of each, and its line in the list of commands."""
HOMES: Mapping[str, str] = {name: module for name, (module, _) in (*LATER.items(), *OTHERS.items())}
"""The module of each command."""


class Commands(MutableMapping[str, Any]):
    """The commands by name. The module of a command is imported when the command is asked for."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._found:
            self._found[name] = _built(name, import_module(f"sagakit.cli.{HOMES[name]}").commands)
        return self._found[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._found[name] = command

    def __delitem__(self, name: str) -> None:
        del self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(HOMES)

    def __len__(self) -> int:
        return len(HOMES)


def _built(name: str, home: typer.Typer) -> Any:
    """Return a command of a module, without building the others: each has two dozen options."""
    only = typer.Typer(rich_markup_mode=None)
    only.registered_commands = [one for one in home.registered_commands if _name(one) == name]
    only.registered_groups = [one for one in home.registered_groups if one.name == name]
    command: Any = typer.main.get_group(only).commands[name]
    params = command.get_params
    command.get_params = lambda ctx: take_plain(params(ctx))
    return command


def _name(info: Any) -> str:
    return str(info.name or info.callback.__name__.replace("_", "-"))


class LazyGroup(typer.core.TyperGroup):
    """The group behind `sagakit`. Its help imports no command."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands: MutableMapping[str, Any] = Commands()

    def get_params(self, ctx: Any) -> Any:
        """Return the options of the command itself."""
        return take_plain(super().get_params(ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands into the help."""
        for title, listed in (("Operator commands", LATER), ("Other commands", OTHERS)):
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in listed.items()])
