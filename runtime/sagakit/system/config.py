"""`Config`: every option of a runtime, with its unit, bounds and default."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from sagakit.errors import InvalidConfig
from sagakit.naming import check_name, nearest

ENV_PREFIX = "SAGAKIT_"
OTHER_VARIABLES = ("SAGAKIT_NATS_URL", "SAGAKIT_NATS_SERVER", "SAGAKIT_ASYNCIO", "SAGAKIT_REDACT")
"""Variables that are not options of a runtime: the URL, the executable of an embedded server, nats-py's loop, and what
nobody sees."""
ALIKE = 0.8
"""Similarity (0 to 1) from which on a variable's name counts as a misspelt option: with a letter missing, say."""
SECRETS = frozenset({"password", "token"})
"""Options whose values never appear in an error."""


def _about(text: str, *, ge: float | None = None, gt: float | None = None, le: float | None = None) -> Meta:
    return Meta(description=text, gt=gt, le=le) if ge is None else Meta(description=text, ge=ge, le=le)


_Positive = Annotated[int, Meta(ge=1)]
_ClaimAbove = Annotated[int, Meta(ge=1024)]
_PositiveFloat = Annotated[float, Meta(gt=0)]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a runtime, validated when they are made. Times are seconds, sizes bytes. Raises InvalidConfig.

    They come from keyword arguments, from the environment (`Config.from_env()`, `SAGAKIT_ACK_TIMEOUT=3`) or from TOML
    (`Config.from_toml("sagakit.toml")`, table `[sagakit]`).
    """

    namespace: Annotated[str, _about("Prefix of every bucket, stream and subject; empty for none.")] = ""
    user: Annotated[str | None, _about("User name for NATS.")] = None
    password: Annotated[str | None, _about("Password for NATS.")] = None
    token: Annotated[str | None, _about("Token for NATS.")] = None
    credentials: Annotated[str | None, _about("Path of a NATS credentials file.")] = None
    nkeys_seed: Annotated[str | None, _about("Path of an nkey seed file.")] = None
    tls_ca: Annotated[
        str | None, _about("Path of the authorities (PEM) that the server's certificate is checked by.")
    ] = None
    tls_cert: Annotated[str | None, _about("Path of the client's own certificate (PEM).")] = None
    tls_key: Annotated[str | None, _about("Path of its key (PEM); None: in the certificate's file.")] = None
    tls_first: Annotated[bool, _about("TLS before the server's greeting (`handshake_first`).")] = False
    inbox_prefix: Annotated[str, _about("Head of the subjects on which answers come.")] = "_INBOX"
    domain: Annotated[str | None, _about("JetStream domain that the streams are in; None: the server's own.")] = None
    api_prefix: Annotated[
        str | None, _about("Head of the JetStream API's subjects, where an import has renamed them; None: $JS.API.")
    ] = None
    worker_name: Annotated[str, _about("Shown in listings; the worker id adds a random part.")] = "worker"
    shards: Annotated[int, _about("State buckets and event streams; fixed when they are made.", ge=1, le=256)] = 1
    replicas: Annotated[int | None, _about("Copies of each bucket and stream; None: 3 on a cluster, else 1.")] = None
    storage: Annotated[Literal["file", "memory"], _about("Storage of buckets and streams on the server.")] = "file"
    state_max_bytes: Annotated[
        _Positive | None, _about("Bytes that a state bucket may hold, twice what live sagas need; None: no limit.")
    ] = None
    archive_ttl: Annotated[float, _about("Seconds that a finished saga is kept.", gt=0)] = 7 * 86400.0
    claim_above: Annotated[
        _ClaimAbove | None,
        _about("Bytes of the largest value that a record holds; others are stored beside it. None: it holds all."),
    ] = None
    marker_ttl: Annotated[float, _about("Seconds that an end marker is kept under a finished key.", ge=1)] = 60.0
    events_ttl: Annotated[_PositiveFloat | None, _about("Seconds that events are kept; None: forever.")] = None
    max_active: Annotated[
        int,
        _about("Sagas at work in this worker at once; `start` waits beyond it. Those that wait do not count.", ge=1),
    ] = 10_000
    passivate_after: Annotated[
        float,
        _about("Seconds that a saga waits before it gives up its actor; in a full worker it does so at once.", gt=0),
    ] = 1.0
    mailbox_capacity: Annotated[int, _about("Messages that wait for one saga at most.", ge=8)] = 128
    max_threads: Annotated[int, _about("Plain-function steps that run at once, each in a thread.", ge=1)] = 40
    max_unacked: Annotated[
        int, _about("Messages sent to the server and not yet acknowledged; a group of writes is one.", ge=1)
    ] = 4096
    max_unacked_bytes: Annotated[int, _about("Bytes sent to the server and not yet acknowledged.", ge=1)] = 32 * 2**20
    ack_timeout: Annotated[float, _about("Seconds after which a missing acknowledgment is ambiguous.", gt=0)] = 5.0
    connect_timeout: Annotated[float, _about("Seconds until opening gives up on the server.", gt=0)] = 5.0
    lease_ttl: Annotated[float, _about("Seconds without renewal after which a worker counts as dead.", ge=1)] = 10.0
    scan_interval: Annotated[float, _about("Seconds between scans for sagas left behind.", gt=0)] = 30.0
    stall_timeout: Annotated[float, _about("Seconds past its time after which a saga counts as stalled.", gt=0)] = 60.0
    max_isolated_crashes: Annotated[
        int, _about("Deaths of its worker, while it ran alone, that one saga gets.", ge=1)
    ] = 3
    gc_threshold: Annotated[int, _about("Allocations between looks of Python's collector; 0: as it is.", ge=0)] = (
        500_000
    )
    drain_timeout: Annotated[float, _about("Seconds that running attempts get when the runtime closes.", ge=0)] = 10.0
    max_restarts: Annotated[int, _about("Restarts of one saga's actor within `restart_period`.", ge=0)] = 5
    restart_period: Annotated[float, _about("Seconds over which `max_restarts` are counted.", gt=0)] = 60.0
    sync: Annotated[
        Literal["always", "relaxed"],
        _about("Fsync of an embedded server: `always` before it acknowledges, or `relaxed`."),
    ] = "always"
    group_commit: Annotated[
        Literal["auto", "on", "off"],
        _about(
            "Many writes share an fsync, on streams with one copy; `auto`: on an embedded server that always syncs."
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        for name, hint in _hints().items():
            try:
                msgspec.convert(getattr(self, name), hint)
            except msgspec.ValidationError as error:
                shown = "..." if name in SECRETS else repr(getattr(self, name))
                raise InvalidConfig(f"{name}={shown}: {error}{_meant(hint)}") from None
        if re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", self.inbox_prefix) is None:
            raise InvalidConfig(
                f"inbox_prefix={self.inbox_prefix!r}: write tokens of letters, digits, _ and -, with dots between them"
            )
        self._check_api()
        if self.namespace:
            check_name(self.namespace, what="namespace")
        check_name(self.worker_name, what="worker_name")
        if self.archive_ttl <= self.marker_ttl:
            raise InvalidConfig(
                f"archive_ttl={self.archive_ttl} must exceed marker_ttl={self.marker_ttl}: "
                "a finished id could be started again as soon as both have expired"
            )

    def _check_api(self) -> None:
        if self.domain is not None and self.api_prefix is not None:
            raise InvalidConfig("domain and api_prefix both say which JetStream to use: take one of them out")
        for name, value in (("domain", self.domain), ("api_prefix", self.api_prefix)):
            if (
                value is not None
                and re.fullmatch(r"[^\s.*>]+" + (r"(\.[^\s.*>]+)*" if name != "domain" else ""), value) is None
            ):
                raise InvalidConfig(
                    f"{name}={value!r}: write it without spaces and wildcards, as in `hub` or `$JS.hub.API`"
                )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Config:
        """Make a Config of option names and values. Numbers may be given as text. Raises InvalidConfig."""
        unknown = sorted(set(options) - set(cls.__struct_fields__))
        if unknown:
            raise InvalidConfig(
                f"no such option: {', '.join(unknown)}{nearest(unknown[0], cls.__struct_fields__)}; "
                f"there are: {', '.join(sorted(cls.__struct_fields__))}"
            )
        try:
            return cls(**msgspec.convert(options, dict[str, Any]) | _from_text(options))
        except msgspec.ValidationError as error:
            raise InvalidConfig(str(error)) from None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **options: Any) -> Config:
        """Make a Config of the `SAGAKIT_*` variables of an environment; keyword arguments win over them.

        Raises InvalidConfig, also for a variable whose name is almost that of an option. Other variables are ignored:
        an orchestrator may set some (Kubernetes does, for a service named `sagakit`).
        """
        return cls.of(cls._in(environ) | options)

    @classmethod
    def from_toml(cls, path: str | Path, **options: Any) -> Config:
        """Make a Config of the table `[sagakit]` of a TOML file; keyword arguments win over it.

        Raises InvalidConfig, OSError.
        """
        return cls.of(_table(path) | options)

    @classmethod
    def load(cls, path: str | Path | None, environ: Mapping[str, str] = os.environ, **options: Any) -> Config:
        """Make a Config of a TOML file, if a path is given, of the environment and of keyword arguments.

        The environment wins over the file, a keyword argument over both. Raises InvalidConfig, also for a file that
        cannot be read.
        """
        try:
            table = {} if path is None else _table(path)
        except OSError as error:
            raise InvalidConfig(f"{path} cannot be read: {error.strerror or error}") from None
        return cls.of(table | cls._in(environ) | options)

    @classmethod
    def _in(cls, environ: Mapping[str, str]) -> dict[str, Any]:
        known = {ENV_PREFIX + name.upper(): name for name in cls.__struct_fields__}
        for key in sorted(key for key in environ if key.upper().startswith(ENV_PREFIX)):
            if key not in known and key not in OTHER_VARIABLES:
                _check_variable(key.upper().removeprefix(ENV_PREFIX), cls.__struct_fields__)
        return {name: environ[key] for key, name in known.items() if key in environ}

    @classmethod
    def describe(cls) -> list[tuple[str, str, object]]:
        """Return name, text and default of every option, for the docs and the command line."""
        fields = msgspec.structs.fields(cls)
        hints = _hints()
        return [(field.name, _meta(hints[field.name]).description or "", field.default) for field in fields]


def _check_variable(name: str, options: Iterable[str]) -> None:
    """Raise InvalidConfig for a name that is most likely a misspelt option."""
    names = [option.upper() for option in options] + [name.removeprefix(ENV_PREFIX) for name in OTHER_VARIABLES]
    near = get_close_matches(name, names, n=1, cutoff=ALIKE)
    if near:
        raise InvalidConfig(
            f"the variable {ENV_PREFIX}{name} sets no option; did you mean {ENV_PREFIX}{near[0]}? Correct or unset it"
        )


def _table(path: str | Path) -> dict[str, Any]:
    import tomllib  # compiles a page of regular expressions

    try:
        found: object = tomllib.loads(Path(path).read_text()).get("sagakit")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path}: {error}") from None
    if found is None:
        raise InvalidConfig(f"{path}: it has no table [sagakit]: write the options under that")
    if not isinstance(found, dict):
        raise InvalidConfig(f"{path}: sagakit is {found!r}: write a table, [sagakit], with the options in it")
    return found


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Config, include_extras=True)


def _meta(hint: Any) -> Meta:
    found = hint.__metadata__[0]
    assert isinstance(found, Meta)
    return found


def _from_text(options: Mapping[str, Any]) -> dict[str, Any]:
    hints = _hints()
    texts = {name: value for name, value in options.items() if isinstance(value, str)}
    found: dict[str, Any] = {}
    for name, value in texts.items():
        try:
            found[name] = msgspec.convert(value, hints[name], strict=False)
        except msgspec.ValidationError as error:
            raise InvalidConfig(f"{name}={value!r}: {error}{_meant(hints[name])}") from None
    return found


def _meant(hint: Any) -> str:
    """Return the words that an option may be, or its meaning and unit: Python's type does not say them."""
    words = get_args(hint.__origin__) if get_origin(hint.__origin__) is Literal else ()
    return f": say {' or '.join(map(repr, words))}" if words else f" ({_meta(hint).description})"
