"""The command `sagakit`. Needs the extra `cli`.

app               the command `sagakit` itself
lazy_group        the group of all commands; imports the module of a command when it is called
plain_options    options whose values typer need not convert
looking_commands  list, describe, history, count, groups, workers
watching_commands  watch, trace
history_commands  replay
store_commands    store: verify, rebuild
audit_command     audit
job_commands      jobs
export_commands   export, sql
import_command    import
import_rows       exported rows as records and events again
export_rows       the rows of their tables: sagas, steps, events
export_files      tables as JSON lines, Parquet, Arrow and in DuckDB
mending_commands  retry, cancel, compensate, terminate, complete-step, mark-undone
sending_commands  start, signal, delete
letter_commands   dead-letters: list, show, edit, resend, delete, audit
letter_changes    a change of dead letters: plan, question, verdicts
letter_editing    the new payload of a dead letter
checking_commands  doctor
conformance_command  conformance participant
findings_text     findings of the doctor as text, and for Nagios and Prometheus
running_commands  worker, setup, permissions, config, metrics
server_command    server: NATS on the loopback
console_commands  web, dev
console_process   `sagakit web`: console and HTTP API as a process
dev_process       `sagakit dev`: a server, a worker that restarts, the console
listening         HTTP servers of commands, on trio
contract_commands  contract show, contract diff
contract_modules  the sagas and commands of a module
writing_commands  init, diagram, schema, explore, demo
explaining        explain: cause and cure of errors
scaffold          the project that `sagakit init` makes, of the templates in the folder `project`
changing          a change of many sagas: plan, question, verdicts
jobs_at_work      verbs for many sagas, as jobs: written, sent, shown, resumed
deletions        deletions of single sagas, each with its verdict
json_arguments    JSON as an argument
moments           times and delays as arguments
choosing          the selector: keys, globs, a filter, standard input
looking_only      the light way to look at sagas: a plain connection under asyncio
operating_only    the light way to change sagas by messages: the same connection
session           one operator command, from its arguments to its exit code
own_log           the log while one command runs, which the process has back after it
printing          tables, JSON and YAML; errors in the same format
context_commands  context: ls, show, select
completing       shell completion: keys, types, steps, signals
contexts          the contexts of the `nats` command
command_options   options of the commands
demo              `sagakit demo`: 500 orders as sagas, and an audit
worker_command    `sagakit worker`: one worker as a process
processes_command  `sagakit worker --processes`: the parent of several worker processes
kept_process      one of the processes as the parent sees it
worker_process    the program of such a process, which does the job from its parent
process_channel   the questions and orders of the parent, and the answers
group_health      the health of all of them together
joined_metrics    their metrics as one text
accounts_command  `sagakit permissions` and `sagakit setup`
loading           finds the sagas that `module:name` names
exits             exit codes
standard_input    the standard input, which may be closed
standard_output   the standard output and error, which may be full, unread or closed
leaving           the end of the process, without freeing each object
stop              signals
logs              the log of the worker
health            health checks and metrics over HTTP
monitoring        the dashboard and the alert rules
"""

from __future__ import annotations

import gc
import sys

YOUNGEST = 50_000
"""Allocations between two looks for garbage. The modules of a command are none, and to search them takes time."""

EXTRA_OF = {
    "web": "web", "worker": "worker", "dev": "worker,web,embedded", "explore": "testing", "export": "export",
    "sql": "sql",
}  # fmt: skip
"""The extra of each command that needs more than `cli`, which every one of them includes."""
SERVICES = frozenset({"dev", "server", "web", "worker"})
"""The commands whose exit code tells how a service has ended, whatever became of its output."""


def main() -> None:
    """Run the command line of this process. Exits with its code."""
    try:
        from sagakit.cli.app import app
    except ModuleNotFoundError as error:
        from sagakit.extras import EXTRAS, command_for

        if error.name not in EXTRAS["cli"]:
            raise
        sys.exit(f"the command needs {error.name}: {command_for(EXTRA_OF.get(_called(), 'cli'))}")
    app()


def _called() -> str:
    """Return the name of the command; empty if there is none."""
    return next((word for word in sys.argv[1:] if not word.startswith("-")), "")


def run() -> None:
    """Be the command `sagakit`: do what `main` does, in a process that does nothing else and ends at once after it."""
    from sagakit.cli.standard_output import told_if_lost

    gc.set_threshold(YOUNGEST, *gc.get_threshold()[1:])
    try:
        with told_if_lost(is_service=_called() in SERVICES):
            main()
    except SystemExit as end:
        from sagakit.cli.leaving import leave

        leave(end.code)
        raise
