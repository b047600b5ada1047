"""Bugs in the rules for commands and replies of remote steps, and in those of a participant."""

from __future__ import annotations

from typing import Any

from msgspec import structs
from sagakit.engine import Record, SendCommand, remote
from sagakit.participant.key_store import KeptReply, MemoryKeys

from tests.engine.mutants.modules import Mutant, Patch, effects_module, turn_module


def replies_applied_again(patch: Patch) -> None:
    patch.setattr(remote, "_changes", lambda record, about, message: True)


def late_success_taken_for_done(patch: Patch) -> None:
    patch.setattr(remote, "_GIVEN_UP", frozenset[str]())
    patch.setattr(remote, "_IN_DOUBT", remote._IN_DOUBT | {"undo_sent", "undo_waiting", "doubtful"})


def command_made_anew_each_time(patch: Patch) -> None:
    command = effects_module._command

    def anew(plan: Any, record: Record, *rest: Any) -> SendCommand:
        made: SendCommand = command(plan, record, *rest)
        return structs.replace(made, deadline=made.deadline + record.epoch)

    patch.setattr(effects_module, "_command", anew)


def keys_not_burnt(patch: Patch) -> None:
    async def undone_only(self: MemoryKeys, key: str, undo: Any) -> None:
        kept: KeptReply | None = self._kept.pop(key, None)
        await undo(None, kept)

    patch.setattr(MemoryKeys, "burn", undone_only)


def silence_counts_before_the_beginning(patch: Patch) -> None:
    begin = turn_module.Turn.open

    def alive(self: Any, node: Any, move: Any) -> None:
        begin(self, node, move)
        self.edit(node.name).alive = True

    patch.setattr(turn_module.Turn, "open", alive)


def heartbeats_of_older_attempts_count(patch: Patch) -> None:
    changes = remote._changes

    def any_attempt(record: Record, about: remote.Answered, message: Any) -> bool:
        if message.kind == "heartbeat":
            message = structs.replace(message, attempt=record.steps[about.node.name].calls)
        return changes(record, about, message)

    patch.setattr(remote, "_changes", any_attempt)


def progress_written_each_time(patch: Patch) -> None:
    patch.setattr(remote, "PROGRESS_EVERY", 0.0)


MUTANTS: dict[Mutant, str] = {
    replies_applied_again: "applied twice|no move",
    late_success_taken_for_done: "no move|still there",
    command_made_anew_each_time: "sent again with other bytes",
    silence_counts_before_the_beginning: "silence counts before",
    heartbeats_of_older_attempts_count: "silence counts before|a heartbeat is written again",
    progress_written_each_time: "a heartbeat is written again",
    keys_not_burnt: "came after the undo was worked|still there|under two keys|has happened",
}
"""Each bug, with a pattern for what the world says of it."""
