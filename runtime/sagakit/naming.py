"""What may serve as a name: types, steps, signals, namespaces. Ids are another matter, see `sagakit.store.names`."""

from __future__ import annotations

import re

from sagakit.errors import InvalidName

MAX_NAME = 64

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def is_name(text: str) -> bool:
    """Whether it may stand as one token in a key and a subject."""
    return len(text) <= MAX_NAME and _NAME.fullmatch(text) is not None


def check_name(name: str, *, what: str) -> str:
    """Return `name` if it may stand as one token in a key and a subject; `what` says whose name it is.

    Raises InvalidName.
    """
    if not is_name(name):
        raise InvalidName(
            f"{what} {name!r} must match [A-Za-z][A-Za-z0-9_-]* and have at most {MAX_NAME} characters: "
            "it becomes one token of a NATS key and subject"
        )
    return name
