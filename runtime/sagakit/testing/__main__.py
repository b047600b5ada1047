"""`python -m sagakit.testing MODULE`: the same as `sagakit explore MODULE`, without its colours."""

from __future__ import annotations

import sys
from pathlib import Path

from sagakit.testing.command import NothingToExplore, run


def main(arguments: list[str]) -> int | str:
    """The exit code, or what is wrong."""
    if len(arguments) != 1:
        return "usage: python -m sagakit.testing MODULE"
    sys.path.insert(0, str(Path.cwd()))
    try:
        return run(arguments[0], tell=print)
    except NothingToExplore as error:
        return str(error)


sys.exit(main(sys.argv[1:]))
