"""Names that users write: one that was given up does not come back, in Python, commands, HTTP or the console."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from sagakit import web
from sagakit.web import bodies
from sagakit.web.endpoints import LETTERS_THAT_FIT

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
TEMPLATES = Path(web.__file__).with_name("templates")


def words() -> Iterator[tuple[str, str]]:
    """Yield each name that users write, with where they write it."""
    for name, parameters in public_api().items():
        yield from ((one, name) for one in parameters or {})
    for command in COMMANDS.read_text().split("\n## ")[1:]:
        yield from ((option.replace("-", "_"), "a command") for option in re.findall(r"`--([a-z-]+)`", command))
    for body in vars(bodies).values():
        if isinstance(body, type) and issubclass(body, msgspec.Struct) and body.__name__.endswith("Body"):
            yield from ((field.encode_name, body.__name__) for field in msgspec.structs.fields(body))
    for page in TEMPLATES.iterdir():
        yield from ((field, page.name) for field in fields_of(page.name))


def fields_of(page: str) -> list[str]:
    """Return the names that a template writes out for fields of its forms."""
    return re.findall(r'<(?:input|textarea|select)\b[^>]* name="(\w+)"', (TEMPLATES / page).read_text())


def test_a_name_that_was_given_up_does_not_come_back() -> None:
    found = list(words())
    assert {"sagakit.open_client", "a command", "JobBody", "saga.html", "signal_form.html"} <= {
        where for _, where in found
    }
    assert not [f"{where}: {word}: say {GIVEN_UP[word]}" for word, where in found if word in GIVEN_UP]


def test_the_filter_of_the_letters_page_has_the_words_of_the_http_api() -> None:
    fields = [field for field in fields_of("letters.html") if field != "token"]
    assert fields
    assert set(fields) <= set(LETTERS_THAT_FIT)
