"""The command `sagakit`. Needs the extra `cli`.

app               the commands
command_options   their options
demo              `sagakit demo`: 500 orders as sagas, and an audit
worker_command    `sagakit worker`: one worker as a process
accounts_command  `sagakit permissions` and `sagakit setup`
loading           finds the sagas that `module:name` names
exits             exit codes
stop              signals
logs              the log of the worker
health            health checks and metrics over HTTP
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process. Exits with its code."""
    try:
        from sagakit.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"the command needs {error.name}: pip install 'sagakit[cli]'")
    app()
