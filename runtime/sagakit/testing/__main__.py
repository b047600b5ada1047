"""The command `python -m sagakit.testing MODULE`: the same as `sagakit explore MODULE`, without its colors."""

from __future__ import annotations

import sys
from pathlib import Path

from sagakit.testing.command import NothingToExplore, run


def main(arguments: list[str]) -> int | str:
    """Explore a module; return the exit code, or the text of an error."""
    if len(arguments) != 1:
        return "usage: python -m sagakit.testing MODULE"
    sys.path.insert(0, str(Path.cwd()))
    try:
        return run(arguments[0], tell=print)
    except NothingToExplore as error:
        return str(error)


sys.exit(main(sys.argv[1:]))
