"""Names that users write: one that was given up for another one does not come back, in Python, commands or HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from sagakit.web import bodies

from tests.compat.api import public_api

GIVEN_UP = {
    "at_once": "max_concurrent",
    "parallel": "max_concurrent",
    "most": "a name that begins with max_",
    "at_most": "a name that begins with max_",
    "heartbeat": "heartbeat_timeout",
    "poll": "poll_interval",
    "grace": "drain_timeout",
    "why": "reason: `why` is what the program says of a verb that has no effect",
}
"""Names of parameters, options and fields, each with the word that is used instead."""
COMMANDS = Path(__file__).parents[2] / "docs" / "cli-reference.md"


def words() -> Iterator[tuple[str, str]]:
    """Yield each name that users write, with where they write it."""
    for name, parameters in public_api().items():
        yield from ((one, name) for one in parameters or {})
    for command in COMMANDS.read_text().split("\n## ")[1:]:
        yield from ((option.replace("-", "_"), "a command") for option in re.findall(r"`--([a-z-]+)`", command))
    for body in vars(bodies).values():
        if isinstance(body, type) and issubclass(body, msgspec.Struct) and body.__name__.endswith("Body"):
            yield from ((field.encode_name, body.__name__) for field in msgspec.structs.fields(body))


def test_a_name_that_was_given_up_does_not_come_back() -> None:
    found = list(words())
    assert {"sagakit.open_client", "a command", "JobBody"} <= {where for _, where in found}
    assert not [f"{where}: {word}: say {GIVEN_UP[word]}" for word, where in found if word in GIVEN_UP]
