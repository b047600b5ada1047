"""`sagakit web`: the console and the HTTP API as a process, on trio, from its options to its exit code."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from logging import getLogger
from typing import Any

import msgspec
import trio

from sagakit.cli import loading
from sagakit.cli.exits import CommandExit, UsageError, failed
from sagakit.cli.listening import answering, listen
from sagakit.cli.stop import Stop, stop_signals
from sagakit.client.bare_errors import bare_errors
from sagakit.client.client_opening import ClientOptions, open_client
from sagakit.client.redaction import Redaction, paths_of_environment
from sagakit.definition.payloads import Payloads
from sagakit.system.config import Config
from sagakit.web.application import app
from sagakit.web.guard import LOOPBACK_HOSTS
from sagakit.web.rate_limits import RateLimits
from sagakit.web.visitors import Authentication, Everyone, Proxy, Rank, Tokens

_log = getLogger("sagakit.web")


class ConsoleCall(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the command. `options` override the environment, which overrides the file `config`."""

    url: str
    listen: str
    config: str | None = None
    options: dict[str, Any] = {}
    role: Rank = "viewer"
    tokens: str | None = None
    proxy_header: str | None = None
    proxy_from: Sequence[str] = ()
    proxy_role_header: str | None = None
    rates: dict[str, float] = {}
    redact: Sequence[str] = ()
    payload_codec: str | None = None

    def authentication(self, listening: socket.socket) -> Authentication:
        """Return the way to know visitors. Raises UsageError where nobody would be asked, InvalidConfig."""
        if self.tokens is not None and self.proxy_header is not None:
            raise UsageError("--tokens and --proxy-header: visitors are known in one way, not in both")
        if self.proxy_header is None and (self.proxy_role_header or (self.proxy_from and self.tokens is None)):
            raise UsageError(
                "--proxy-from and --proxy-role-header are about a proxy: give its --proxy-header NAME, too"
            )
        if self.tokens is not None:
            return Tokens.read(self.tokens)
        if self.proxy_header is not None:
            header = self.proxy_role_header
            return Proxy(header=self.proxy_header, addresses=self.proxy_from, rank=self.role, rank_header=header)
        return everyone(self.role, listening, instead="give --tokens FILE or --proxy-header NAME")

    def redacted(self) -> Sequence[str]:
        """Return the paths of the fields that nobody sees: those of the environment unless there are others."""
        return self.redact or paths_of_environment()

    def rate_limits(self) -> RateLimits:
        """Return the limits of each visitor. Raises InvalidConfig."""
        return RateLimits(**self.rates, forwarded_by=self.proxy_from)


def everyone(rank: Rank, listening: socket.socket, *, instead: str) -> Everyone:
    """Return the way to know visitors that asks nobody. Raises UsageError where other machines can reach it.

    `instead` says what to do then, other than to listen on the loopback.
    """
    host = listening.getsockname()[0]
    if not ip_address(host).is_loopback:
        raise UsageError(
            f"{host} can be reached from other machines, and nobody would be asked who they are: {instead}, or listen "
            "on 127.0.0.1"
        )
    return Everyone(rank, name=login())


def login() -> str:
    """Return the name of the user who runs this process; empty if it has none."""
    with suppress(KeyError, OSError):
        return getpass.getuser()
    return ""


def run(call: ConsoleCall) -> CommandExit:
    """Serve until a signal comes, and return the exit code. Errors go to the log."""
    with stop_signals() as stop:
        try:
            with bare_errors():
                config, limits = Config.load(call.config, **call.options), call.rate_limits()
                payloads = loading.payloads_of(call.payload_codec)
                Redaction(call.redacted())  # which says what is wrong with a path before anything is opened
                with listen(call.listen, option="listen") as listening:
                    trio.run(_serve, call, config, limits, listening, call.authentication(listening), payloads, stop)
        except BaseException as error:  # every error becomes an exit code and a line in the log
            return failed(error, _log)
    return CommandExit.DRAINED


async def _serve(
    call: ConsoleCall,
    config: Config,
    limits: RateLimits,
    listening: socket.socket,
    authentication: Authentication,
    payloads: Payloads,
    stop: Stop,
) -> None:
    stopping = trio.Event()
    host = listening.getsockname()[0]
    with trio.CancelScope() as opening:
        stop.then(opening.cancel)
        async with open_client(call.url, payload_codec=payloads.codecs, **client_options(config)) as client:
            open_to_all = isinstance(authentication, Everyone)
            hosts = LOOPBACK_HOSTS | {host} if open_to_all else None
            made = app(
                client, authentication=authentication, read_only=False, hosts=hosts, rate_limits=limits,
                redact=call.redacted(),
            )  # fmt: skip
            async with answering(listening, made) as url:
                stop.then(stopping.set)
                who = f"everyone is {call.role}" if open_to_all else "visitors are asked who they are"
                _log.info("the console is at %s; %s", url, who, extra={"url": url})
                await stopping.wait()


def client_options(config: Config) -> ClientOptions:
    """Return the options that a client has, too."""
    known: Any = {name: getattr(config, name) for name in ClientOptions.__annotations__}
    options: ClientOptions = known
    return options
