"""`sagakit worker --commands`: real processes, killed in the middle of their commands."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import trio
from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.loading import command_list
from sagakit.jetstream.puller import refusal, subjects_of
from sagakit.store.names import Names

from tests.cli.processes import Process, worker
from tests.commands.field import WITHIN, Field

SAGAS, COMMANDS = "tests.commands.mortal:sagas", "tests.commands.mortal:commands"
SENT = 200


async def test_killed_in_the_middle_of_200_commands_each_starts_its_saga_once_and_none_is_lost(
    field: Field, tmp_path: Path
) -> None:
    given = ["--nats", field.server.url, "--namespace", field.namespace, "--commands", COMMANDS]
    environment = {"SUBJECT": f"{field.namespace}orders.ship", "SAGAKIT_LEASE_TTL": "3"}
    if field.own:
        environment["OWN"] = "1"

    def working(name: str, killed: str = "") -> AbstractContextManager[Process]:
        return worker(tmp_path / name, SAGAS, *given, KILLED=killed, **environment)

    for number in range(SENT):
        await field.send("ship", {"name": f"item-{number}"})
    for name, killed in (("one", "before send 60"), ("two", "after send 60")):
        with working(name, killed) as mortal:
            assert await mortal.ended() == -signal.SIGKILL
    assert await started(field) < SENT, "the workers were killed too late to leave anything to others"
    with working("three") as survivor:
        await survivor.said("is up")
        names = await ended(field)
        survivor.signal(signal.SIGTERM)
        assert await survivor.ended() == CommandExit.DRAINED
    assert names == {f"item-{number}" for number in range(SENT)}
    assert await started(field) == SENT


async def started(field: Field) -> int:
    """Return how many sagas have been started, by their events."""
    names = Names(namespace=field.namespace)
    pattern = names.subject("saga.Ship.started")
    return sum((await subjects_of(field.wire, names.events[0], pattern, refusal)).values())


async def ended(field: Field) -> set[str]:
    """Wait until as many sagas have ended as commands were sent, and return their ids."""
    archive = Names(namespace=field.namespace).archive[0]
    with trio.fail_after(3 * WITHIN):
        while True:
            found = await subjects_of(field.wire, f"KV_{archive}", f"$KV.{archive}.Ship.*", refusal)
            if len(found) >= SENT:
                return {subject.rpartition(".")[2] for subject in found}
            await trio.sleep(0.1)  # other processes end them


@pytest.mark.parametrize(
    ("commands", "says"),
    [
        ("tests.commands.mortal", "write module:name, such as shop.worker:commands"),
        ("tests.commands.mortal:nothing", "has no 'nothing'; it has lists of commands as commands"),
        ("tests.commands.mortal:numbers", "must be a list of Command"),
        ("tests.commands.mortal:Ship", "must be a list of Command"),
    ],
)
def test_what_is_wrong_with_the_commands_is_said(commands: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        command_list(commands)
