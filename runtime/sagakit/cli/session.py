"""The run of an operator command: it connects without becoming a worker, does its work, and ends with an exit code."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, cast

import msgspec
import typer

from sagakit.cli.command_options import CONNECTION, ConfigFile, Nats, PayloadCodecName, with_options
from sagakit.cli.exits import UsageError, exit_of
from sagakit.cli.own_log import logged_to
from sagakit.cli.printing import Output, OutputFormat, check_output, print_error
from sagakit.cli.standard_output import OutputError
from sagakit.errors import SagakitError
from sagakit.jetstream.address import SCHEMES, scheme_of
from sagakit.system.config import Config

if TYPE_CHECKING:
    from sagakit.cli.looking_only import Looking
    from sagakit.cli.operating_only import Operating
    from sagakit.client.by_key import PlainAccess
    from sagakit.client.redaction import Redaction
    from sagakit.definition.payloads import Payloads

Work = Callable[["PlainAccess"], Awaitable[int | None]]
"""The work of a command. It returns an exit code other than 0, or None."""


class Look(NamedTuple):
    """The work of a command that only looks for sagas: a plain connection is enough for it."""

    work: Callable[[Looking], Awaitable[int | None]]


class Operate(NamedTuple):
    """The work of a command that changes sagas by messages alone: a plain connection is enough for it, too."""

    work: Callable[[Operating], Awaitable[int | None]]


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The server that a command line names, and the format of the output."""

    url: str
    config: str | None
    options: dict[str, Any]
    output: OutputFormat
    payload_codec: str | None = None
    """The name of the payload codec that opens and seals values, as `module:name`."""

    @property
    def payloads(self) -> Payloads:
        """The way of values, by the payload codec. Raises UsageError, InvalidConfig, and what importing it raises."""
        from sagakit.definition.payloads import PLAIN_PAYLOADS

        if not self.payload_codec:
            return PLAIN_PAYLOADS
        from sagakit.cli import loading

        return loading.payloads_of(self.payload_codec)

    @property
    def redaction(self) -> Redaction:
        """The redaction of the output, by SAGAKIT_REDACT. Raises InvalidConfig."""
        from sagakit.client.redaction import Redaction, paths_of_environment

        return Redaction(paths_of_environment(), self.payloads)

    def run(self, prepared: Callable[[], Work | Look | Operate]) -> NoReturn:
        """Check the arguments, which returns the work; connect; do the work. Ends the command with its exit code."""
        try:
            check_output(self.output)
            with logged_to(_handler(self.output)):
                code = self._done(prepared())
            if sys.stdout is not None:  # closed, or watched and unread
                sys.stdout.flush()
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except (SagakitError, UsageError, OutputError) as error:
            found = exit_of(error)
            print_error(error, found, self.output)
            raise typer.Exit(found) from None
        raise typer.Exit(code)

    def _done(self, prepared: Work | Look | Operate) -> int:
        """Connect, and do the work. The modules that it does not need are not imported: they take longer than it."""
        config = Config.load(self.config, **self.options)
        is_running = scheme_of(self.url) in SCHEMES
        if isinstance(prepared, Look) and is_running:
            from sagakit.cli.looking_only import look

            return look(self.url, config, prepared.work)
        payloads = self.payloads
        if isinstance(prepared, Operate) and is_running:
            from sagakit.cli.operating_only import operate

            return operate(self.url, config, payloads, prepared.work)
        import trio

        from sagakit.client.bare_errors import bare_errors
        from sagakit.client.by_key import open_plain

        async def run() -> int:
            async with open_plain(self.url, config, payloads) as sagas:
                if isinstance(prepared, Operate):
                    from sagakit.cli.operating_only import operating

                    return await prepared.work(operating(sagas, config, payloads)) or 0
                work = prepared.work if isinstance(prepared, Look) else prepared
                return await work(sagas) or 0

        with bare_errors():
            return trio.run(run)


def in_session(shared: Mapping[str, Any] | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a connection and of the output: it gets them as its `session`.

    A command with `shared` options gets those that were given as `options`.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(
            *,
            nats: str,
            config: str | None,
            payload_codec: str | None,
            output: OutputFormat,
            options: dict[str, Any],
            **own: Any,
        ) -> None:
            if shared is not None:
                own["options"] = {name: options.pop(name) for name in shared if name in options}
            session = Session(url=nats, config=config, payload_codec=payload_codec, options=options, output=output)
            command(**own, session=session)

        common = inspect.signature(_connection, eval_str=True).parameters
        own = inspect.signature(command, eval_str=True).parameters
        parameters = {name: parameter for name, parameter in own.items() if name not in ("session", "options")} | common
        by_kind = sorted(parameters.values(), key=lambda parameter: parameter.kind)
        cast("Any", run).__signature__ = inspect.Signature(by_kind)
        return with_options({**(shared or {}), **CONNECTION})(run)

    return decorate


def _connection(
    *,
    nats: Nats = "",
    config: ConfigFile = None,
    payload_codec: PayloadCodecName = None,
    output: Output = OutputFormat.table,
    options: dict[str, Any],
) -> None:
    """Have the parameters that every command in a session has."""


def _handler(output: OutputFormat) -> logging.Handler:
    """Return what logs to standard error, unless errors are JSON there, what may hold a command up, as an outage."""
    as_json = output in (OutputFormat.json, OutputFormat.jsonl)
    handler: logging.Handler = logging.NullHandler() if as_json else logging.StreamHandler()
    # The account of an operator may not ask workers, and need not: its messages take the way through the inbox.
    handler.addFilter(lambda record: "sagactl." not in record.getMessage())
    return handler
