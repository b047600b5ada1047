"""Generator of the pages that are made from the code: `make docs`. A test checks that they are up to date."""

from __future__ import annotations

import inspect
import json
from argparse import ArgumentParser
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from reference import cli_page, http_page
from sagakit import Config
from sagakit.cli.explaining import explanations
from sagakit.client.metrics import METRICS
from sagakit.engine.table import SAGA_TABLE, STEP_TABLE
from sagakit.errors import SagakitError
from sagakit.prometheus import PREFIX
from sagakit.store.names import Names
from sagakit.store.permissions import ROLES, permissions_of
from wire_schemas import wire_schemas

DOCS = Path(__file__).parent
NOTE = "<!-- made by docs/generate.py: run `make docs` -->\n"


def config_page() -> str:
    """Return the page that lists every option of a runtime."""
    rows = [f"| `{name}` | {text} | `{default!r}` |" for name, text, default in Config.describe()]
    return "\n".join(
        [
            NOTE,
            "# Options of a runtime",
            "",
            "Give options to `open_runtime(url, ..., option=value)`, or to its `config=`. Times are in seconds. An "
            "invalid value is refused with a reason when the runtime is opened.",
            "",
            "**`open_runtime` and `sagakit.run` take no options from the environment.** The command `sagakit` does: "
            "from variables (`SAGAKIT_LEASE_TTL=20`), and from the table `[sagakit]` of a TOML file. A program can do "
            "the same with `open_runtime(url, ..., config=Config.from_env())`, or with `Config.from_toml(path)`. "
            "`Config.load(path)` reads both, and variables win over the file.",
            "",
            "| option | meaning | default |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def states_page() -> str:
    """Return the page that shows the transition tables as diagrams."""
    return "\n".join(
        [
            NOTE,
            "# States of a saga and of a step",
            "",
            "The diagrams show the tables in `sagakit/engine/table.py`. A move that is not drawn raises "
            "`IllegalTransition` and changes nothing. A test walks every cell.",
            "",
            "## A saga",
            "",
            "A `delayed` saga waits for the time of its start, a `stuck` one for an operator. Only `completed` and "
            "`failed` are ends. `failed` has the cause and the list of steps that were undone.",
            "",
            *_diagram(SAGA_TABLE, "running", "delayed"),
            "",
            "## A step",
            "",
            "`done`, `skipped`, `not_done` and `doubtful` settle the action. `asked`, `blocked` and `undo_failed` make "
            "the saga stuck.",
            "",
            *_diagram(STEP_TABLE, "pending"),
            "",
        ]
    )


def permissions_page() -> str:
    """Return the page that lists the permissions of each role."""
    lines = [
        NOTE,
        "# Permissions of each role",
        "",
        'These are for `namespace=""` and `shards=1`. `sagakit permissions ROLE --namespace NAME --shards N` prints '
        "others. See [NATS security](security.md). A test runs sagas with exactly these permissions, and finds each of "
        "them used.",
        "",
    ]
    for role in ROLES:
        found = permissions_of(role, Names(), inbox_prefix=f"_INBOX_{role}")
        lines += [f"## {role}", "", "| may | subject | for |", "| --- | --- | --- |"]
        lines += [f"| publish | `{grant.subject}` | {grant.why} |" for grant in found.publish]
        lines += [f"| subscribe | `{grant.subject}` | {grant.why} |" for grant in found.subscribe]
        if found.responses:
            lines.append("| answer | `allow_responses`, one message each | requests that it receives |")
        lines.append("")
    return "\n".join(lines)


def metrics_page() -> str:
    """Return the page that lists the metrics."""
    lines = [NOTE, *METRICS_HEAD.splitlines(), ""]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines += [
            f"### {PREFIX}{metric.name}",
            "",
            f"{metric.kind.capitalize()}{', by ' * bool(labels)}{labels}. {metric.help}",
        ]
        if metric.worry:
            lines += ["", f"Look when: {metric.worry}"]
        lines.append("")
    return "\n".join(lines)


def errors_page() -> str:
    """Return the page that says of each error what causes it and what cures it."""
    lines = [NOTE, *ERRORS_HEAD.splitlines(), ""]
    for one in explanations():
        under = f"Base: [`{one.base}`](#{one.base.lower()}). " if one.base else ""
        lines += [f"### {one.name}", "", one.text, ""]
        lines += [f"- `.{name}`: {text}" for name, text in one.fields]
        lines += [f"- {under}Exit code {one.exit}, HTTP status {one.status}.", ""]
    return "\n".join(lines)


def api_page() -> str:
    """Return the page with every public name; the site shows the docstrings there."""
    lines = [NOTE, *API_HEAD.splitlines(), ""]
    for name in PACKAGES:
        package = import_module(name)
        lines += [f"## {name}", "", *(inspect.getdoc(package) or "").splitlines()[:1], ""]
        lines += [f"::: {name}.{one}\n" for one in _names(package)]
    return "\n".join(lines)


def _names(package: ModuleType) -> list[str]:
    """Return the public names of a package, or of a module: what it exports, else what it defines."""
    names = getattr(package, "__all__", None) or [one for one in vars(package) if not one.startswith("_")]
    found = {name: getattr(package, name) for name in sorted(names) if not name.startswith("_")}
    return [name for name, value in found.items() if _belongs(package, value)]


def _belongs(package: ModuleType, value: object) -> bool:
    if isinstance(value, type) and issubclass(value, SagakitError):
        return False  # docs/errors.md has it
    return hasattr(package, "__all__") or (callable(value) and value.__module__ == package.__name__)


PACKAGES = [
    "sagakit", "sagakit.asyncio", "sagakit.testing", "sagakit.outbox", "sagakit.projection", "sagakit.otel",
    "sagakit.prometheus", "sagakit.web",
]  # fmt: skip
API_HEAD = """\
# The Python API

Every public name, with its types. [Errors](errors.md) has those of errors, and [Actors](actors.md) the library of
actors. On the site each name below is shown with its docstring.
"""


ERRORS_HEAD = """\
# Errors: cause and cure

## How do I find an error here?

By its name. `sagakit explain StoreFull` prints what this page says of an error, and `sagakit explain` lists all of
them. The command `sagakit` and the console name that command with each error, and a program has the place on this page
as `error.docs_page`. With `-o json` a command prints the name as `error`; the HTTP API sends it as `code`.

Errors form one tree, ordered by who has to act. `except SagakitError` catches them all.

| the error is a | who acts |
| --- | --- |
| [`CallerError`](#callererror) | you correct the call; nothing was changed |
| [`DefinitionError`](#definitionerror), [`CannotMigrate`](#cannotmigrate) | you correct the `Saga` class |
| [`SagaStuck`](#sagastuck) | a person removes the cause, then says how the saga continues |
| [`SagaFailed`](#sagafailed) | nobody need: the saga turned back, and its fields say why |
| [`NoWorker`](#noworker) | you start a worker with the saga's version, or write a `migrate()` |
| [`StoreError`](#storeerror) | you wait, or the operator of the server makes room |
| [`ServerError`](#servererror) | the operator of the server corrects its settings, or you correct the URL |
| [`InternalError`](#internalerror) | you report a bug of sagakit |

## Which are there?"""


METRICS_HEAD = """\
# Metrics

## How do I get them?

- A worker process: `sagakit worker ... --health 0.0.0.0:8080` serves them at `/metrics`, with those of the process and
  of Python.
- A program with its own registry: `REGISTRY.register(sagakit.prometheus.RuntimeCollector(runtime))`, with
  `pip install 'sagakit[prometheus]'`. This takes a runtime of trio or of asyncio.
- A program without Prometheus: `runtime.metrics()` returns all of them by name, without `sagakit_`. Any thread may call
  it: `runtime.metrics()['sagas{type="PlaceOrder",status="stuck"}']`.

`sagakit metrics dashboard > dashboard.json` prints a dashboard for Grafana, and `sagakit metrics alerts > rules.yaml`
alert rules for Prometheus. [Alerts](alerts.md) has a runbook for each.

## What do I have to know to read them?

- **A worker reports its own sagas.** Add up over workers for the fleet. Only `sagakit_inbox_backlog_messages` is the
  same in all workers: take the maximum.
- **`sagakit worker --processes N`** answers for all its processes at one address. Each sample has the label `process`
  there: `1` to `N`, or `parent`, which has no samples of sagas. A process that cannot tell, since it starts or its loop
  is blocked, has `sagakit_ready` 0 and no other sample. A process that was started again counts from 0, and its
  `process_start_time_seconds` says since when.
- **Counters begin with 0 when the runtime is opened.** They count what is durable: a saga has started when the record
  that says so is stored, and no crash of an actor or lost acknowledgment counts it twice. What a worker had not counted
  when it was killed is counted nowhere: the [events](wire.md) and the archive are exact.
- **No label has the id of a saga**, since each id would be a time series of its own. `sagakit groups`, the log and the
  events say which sagas they are.
- **A runtime with `adopt=False`** has no sagas and no lease: it reports the metrics of its connection and its loop, and
  zeros or nothing for the rest.
- **Measuring costs between one and three percent** of the processor time of a saga. Of the 26,700 bytecodes that a
  worker executes for a saga of three steps, 730 measure. Alone, they take 9 microseconds of the saga's 820.

## Which are there?"""


def _diagram(table: Mapping[Any, Mapping[Any, Any]], *first: str) -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2", *(f"    [*] --> {state}" for state in first)]
    for state, moves in table.items():
        lines += [f"    {state} --> {target}: {move}" for move, target in moves.items()]
        if not moves:
            lines.append(f"    {state} --> [*]")
    return [*lines, "```"]


PAGES = {
    "api.md": api_page,
    "cli-reference.md": cli_page,
    "errors.md": errors_page,
    "http-reference.md": http_page,
    "metrics.md": metrics_page,
    "options.md": config_page,
    "permissions.md": permissions_page,
    "states.md": states_page,
}


def schemas() -> dict[str, str]:
    """Return the JSON Schemas of the wire by the names of their files."""
    return {f"schemas/{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in wire_schemas().items()}


if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    for name, text in schemas().items():
        (DOCS / name).write_text(text)
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
