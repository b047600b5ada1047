"""The new payload of a dead letter: from a file, from standard input, or from the operator's editor."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

import trio

from sagakit.cli.exits import UsageError
from sagakit.cli.standard_input import bytes_of_input, bytes_within
from sagakit.client.letters import Letter, pretty


def payload_in(file: str) -> bytes:
    """Return the content of a file; `-` is standard input. Raises UsageError."""
    try:
        if file == "-":
            return bytes_of_input()
        with open(file, "rb") as opened:
            return bytes_within(opened, f"--file {file}")
    except OSError as error:
        raise UsageError(f"--file {file}: {error.strerror}") from None


async def edited_payload(letter: Letter) -> bytes:
    """Return the payload as the operator's editor leaves it. Raises UsageError if it is as it was.

    The connection lives on meanwhile.
    """
    before = pretty(letter.payload)
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory() as folder:  # readable by this user alone
        path = Path(folder) / f"letter-{letter.sequence}.json"
        path.write_bytes(before)
        try:
            done = await trio.run_process([*editor, str(path)], stdin=None, check=False)
        except OSError as error:
            raise UsageError(f"the editor {editor[0]!r} cannot be started: {error.strerror}") from None
        after = path.read_bytes()
    if done.returncode or after == before:
        raise UsageError("nothing was done: the editor has left the payload as it was")
    return after
