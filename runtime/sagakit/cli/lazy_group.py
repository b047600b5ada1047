"""The group of all commands. The modules of the operator commands are imported when one of them is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import typer
import typer.core
import typer.main

LATER: Mapping[str, tuple[str, str]] = {
    "list": ("looking_commands", "List sagas, newest first."),
    "describe": ("looking_commands", "Show one saga: values, steps, attempts, errors."),
    "history": ("looking_commands", "Show the events of one saga, in order."),
    "count": ("looking_commands", "Count sagas by type and status."),
    "groups": ("looking_commands", "Group the stuck sagas by type, step and error."),
    "workers": ("looking_commands", "List the workers by their leases."),
    "watch": ("watching_commands", "Print events as they come."),
    "trace": ("watching_commands", "Draw parents and children as a tree."),
    "jobs": ("job_commands", "List the verbs for many sagas, and how far they have come."),
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


class Commands(MutableMapping[str, Any]):
    """The commands by name; those in LATER are imported when they are asked for."""

    def __init__(self, commands: MutableMapping[str, Any]) -> None:
        self._commands = commands

    def __getitem__(self, name: str) -> Any:
        if name not in self._commands and name in LATER:
            module = import_module(f"sagakit.cli.{LATER[name][0]}")
            self._commands.update(typer.main.get_group(module.commands).commands)
        return self._commands[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._commands, *LATER]))

    def __len__(self) -> int:
        return len({*self._commands, *LATER})


class LazyGroup(typer.core.TyperGroup):
    """The group behind `sagakit`. Its help imports no command of LATER."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands: MutableMapping[str, Any] = Commands(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands into the help."""
        names = list(self.commands)
        width = formatter.width - 6 - max(map(len, names))
        with formatter.section("Operator commands"):
            formatter.write_dl([(name, text) for name, (_, text) in LATER.items()])
        with formatter.section("Other commands"):
            own = [name for name in names if name not in LATER]
            formatter.write_dl([(name, self.commands[name].get_short_help_str(width)) for name in own])
