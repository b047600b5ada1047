"""The command `sagakit`. Needs the extra `cli`.

demo       500 orders as sagas, and an audit
app        the commands
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command."""
    try:
        from sagakit.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"the command needs {error.name}: pip install 'sagakit[cli]'")
    app()
