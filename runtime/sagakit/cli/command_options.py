"""The options of the commands: their types, their help, and a decorator for options that several commands share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any, TypeAlias, TypeVar, cast

import typer

from sagakit.cli import contexts
from sagakit.cli.completing import offer_sagas
from sagakit.cli.exits import UsageError
from sagakit.extras import EXTRAS, command_for, missing_of

T = TypeVar("T")


class LogFormat(StrEnum):
    """The format of a worker's log."""

    text = "text"
    json = "json"


class LogLevel(StrEnum):
    """The lowest level that a worker logs."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


class RankName(StrEnum):
    """The role of a visitor of `sagakit web`."""

    viewer = "viewer"
    operator = "operator"
    admin = "admin"


class RoleName(StrEnum):
    """The role of an account."""

    setup = "setup"
    worker = "worker"
    participant = "participant"
    client = "client"
    operator = "operator"
    reader = "reader"


def packages_checked(*extras: str) -> Callable[[T], T]:
    """Return the callback of an option that ends the command if modules of an extra are missing."""

    def check(value: T) -> T:
        for extra in extras:
            if missing := missing_of(EXTRAS[extra]):
                typer.echo(f"this command needs {', '.join(missing)}: {command_for(','.join(extras))}", err=True)
                raise typer.Exit(2)
        return value

    return check


def _check_packages(value: bool) -> bool:
    return packages_checked("worker")(value)


Nats: TypeAlias = Annotated[
    str,
    typer.Option(
        show_default=False,
        help="The server: nats://host:port or tls://..., several with commas. Required, unless --context, "
        "SAGAKIT_NATS_URL or NATS_URL says it.",
    ),
]
ConfigFile: TypeAlias = Annotated[
    str | None, typer.Option(help="A TOML file whose table [sagakit] has options: see `sagakit config`.")
]
SagaList: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:SAGAS",
        help="A list of Saga instances, a function that returns one, or a context manager that yields one.",
    ),
]
CommandList: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:COMMANDS",
        help="A list of Command: messages on streams that start, signal and cancel these sagas.",
    ),
]
TracingName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:NAME",
        help="A tracing, such as OtelTracing(provider), or a function that returns one: it exports spans of sagas.",
    ),
]
PayloadCodecName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:NAME",
        envvar="SAGAKIT_PAYLOAD_CODEC",
        help="A payload codec, a list of several, or a function that returns them: they seal and open stored values.",
    ),
]
HealthAddress: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Answer /live, /ready and /metrics at this address; port 0 picks one."),
]
Processes: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto",
        help="The number of worker processes, with one health address and one log; auto: one on each usable CPU.",
    ),
]
OnAsyncio: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--asyncio",
        callback=_check_packages,
        is_eager=True,  # so that a missing package is reported before a wrong argument
        help="Make MODULE:SAGAS on an asyncio loop, and run asyncio steps there.",
    ),
]
LogFormatName: TypeAlias = Annotated[LogFormat, typer.Option(help="Text, or one JSON object a line.")]
LogLevelName: TypeAlias = Annotated[LogLevel, typer.Option(help="The lowest level to log.")]

_File: TypeAlias = str | None
CONNECTION: dict[str, Any] = {
    "context": Annotated[str | None, typer.Option(help="A context of the `nats` command, in place of --nats.")],
    "namespace": Annotated[
        str | None, typer.Option(help="The prefix of all buckets, streams and subjects, as the workers have it.")
    ],
    "domain": Annotated[str | None, typer.Option(help="The JetStream domain that has the streams.")],
    "api_prefix": Annotated[
        str | None, typer.Option(help="The prefix of the JetStream API, if an import has renamed it.")
    ],
    "user": Annotated[
        str | None, typer.Option(help="The user name for NATS; its password comes from SAGAKIT_PASSWORD.")
    ],
    "creds": Annotated[_File, typer.Option(help="A NATS credentials file, with JWT and seed (option credentials).")],
    "nkey": Annotated[_File, typer.Option(help="A file with the seed of an nkey (option nkeys_seed).")],
    "tls_ca": Annotated[
        _File, typer.Option("--tls-ca", help="A PEM file with the authorities that the server is checked by.")
    ],
    "tls_cert": Annotated[_File, typer.Option("--tls-cert", help="A PEM file with the client's own certificate.")],
    "tls_key": Annotated[_File, typer.Option("--tls-key", help="A PEM file with the key of that certificate.")],
    "inbox_prefix": Annotated[str | None, typer.Option(help="The prefix of the subjects on which answers come.")],
}
"""The options of every command that connects to NATS: name and type."""
WORKER: dict[str, Any] = {
    "name": Annotated[str | None, typer.Option(help="The name of the worker in listings (option worker_name).")],
    "drain_timeout": Annotated[
        float | None, typer.Option(help="Seconds that running attempts get when the worker stops.")
    ],
    "max_active": Annotated[int | None, typer.Option(help="Sagas at work at once; starts wait beyond it.")],
}
"""The options of `sagakit worker` only."""
SETUP: dict[str, Any] = {
    "shards": Annotated[int | None, typer.Option(help="State buckets and event streams; fixed when they are made.")],
}
"""The options of `sagakit setup` only."""
FilterText: TypeAlias = Annotated[
    str | None, typer.Option(help="A filter, such as: type = PlaceOrder and status = stuck and updated < -1h")
]
SagaWords: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SAGA",
        show_default=False,
        autocompletion=offer_sagas,
        help="Keys (TYPE.ID), globs over them in quotes ('PlaceOrder.*'), or - for keys from standard input.",
    ),
]
OneSaga: TypeAlias = Annotated[
    str, typer.Argument(metavar="SAGA", autocompletion=offer_sagas, help="The key of the saga: TYPE.ID.")
]
CHANGING: dict[str, Any] = {
    "where": FilterText,
    "yes": Annotated[
        bool | None, typer.Option("--yes", "-y", help="Go ahead without asking; needed without a terminal.")
    ],
    "dry_run": Annotated[bool | None, typer.Option("--dry-run", help="Change nothing; print each verdict to expect.")],
    "timeout": Annotated[
        float | None, typer.Option(help="Seconds that each saga's owner gets to answer.", show_default="30")
    ],
}
"""The options of every command that changes sagas."""
AS_JOB: dict[str, Any] = {
    "rate": Annotated[float | None, typer.Option(help="Sagas a second that the verb is sent to, at the most.")],
    "report": Annotated[
        str | None, typer.Option(metavar="FILE", help="Append each verdict to a file as a line of JSON, as it comes.")
    ],
    "resume": Annotated[
        str | None, typer.Option(metavar="JOB", help="Go on with a job that was cut off, instead of choosing sagas.")
    ],
}
"""The options of every verb that is sent to many sagas as a job."""
AUDITED: dict[str, Any] = {
    "reason": Annotated[str | None, typer.Option(help="Required: the reason, which the saga's events keep.")],
    "by": Annotated[str | None, typer.Option(help="Your name in the events; by default the name of your login.")],
    **CHANGING,
    **AS_JOB,
}
"""The options of every verb of operators."""
AUDITED_IF_SAID: dict[str, Any] = {
    "reason": Annotated[str | None, typer.Option(help="The reason, if a person sends it: the saga's events keep it.")],
    "by": Annotated[
        str | None, typer.Option(help="Your name in the events; with --reason, that of your login by default.")
    ],
    **CHANGING,
    **AS_JOB,
}
"""The options of a verb that programs send, too: it is audited if it says why or who."""


def _connection(url: str, said: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the server and the options, with those of a context."""
    try:
        return contexts.connection_of(url, said.pop("context", None), said)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None


def with_options(shared: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command more options. The command gets those that were given as `options`, by their names in `Config`."""
    # Typer reads the options of a command from its signature. This writes the signature, so that two commands with a
    # dozen options in common need not repeat them.

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            options = {contexts.IN_CONFIG.get(name, name): given.pop(name) for name in shared}
            said = {name: value for name, value in options.items() if value is not None}
            if "context" in shared:
                given["nats"], said = _connection(given["nats"], said)
            command(**given, options=said)

        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != "options"]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in shared.items()
        ]
        cast("Any", run).__signature__ = signature.replace(parameters=[*own, *more])
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *more)}
        return run

    return decorate
