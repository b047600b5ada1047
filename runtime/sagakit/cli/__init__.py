"""The command `sagakit`. Needs the extra `cli`.

app               the commands
demo              500 orders as sagas, and an audit
worker_command    one worker as a process
loading           from `module:name` to its sagas
exits             exit codes
stop              signals
logs              the log of the worker
health            health checks and metrics over HTTP
accounts_command  permissions for NATS, and buckets made beforehand
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
