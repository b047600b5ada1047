"""Contexts: the servers and accounts that the `nats` command keeps, by name, in `~/.config/nats/context/NAME.json`.

sagakit reads them, and never writes them. Its own choice is in `~/.config/sagakit/context.txt`: the one that `nats
context select` has made does not count, so that a verb never reaches a server that was selected for another purpose.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sagakit.cli.exits import UsageError

URLS = ("SAGAKIT_NATS_URL", "NATS_URL")
"""Variables that name the server."""
VARIABLE = "SAGAKIT_CONTEXT"
"""The variable that names a context."""
OPTIONS: Mapping[str, str] = {
    "user": "user",
    "password": "password",
    "token": "token",
    "creds": "credentials",
    "nkey": "nkeys_seed",
    "ca": "tls_ca",
    "cert": "tls_cert",
    "key": "tls_key",
    "tls_first": "tls_first",
    "inbox_prefix": "inbox_prefix",
    "jetstream_domain": "domain",
    "jetstream_api_prefix": "api_prefix",
}
"""Fields of a context, and the options of a runtime that they set."""
IN_CONFIG: Mapping[str, str] = {"name": "worker_name", "creds": "credentials", "nkey": "nkeys_seed"}
"""Options of the command line that have another name in `Config`."""
SECRETS = frozenset({"password", "token"})
"""Fields whose values are not shown."""


class NatsContext(msgspec.Struct, frozen=True):
    """A context: its name, its server, and the fields that are set, by the names of the `nats` command."""

    name: str
    url: str
    fields: Mapping[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """The options of a runtime that it sets. A path may begin with `~`."""
        paths = {"creds", "nkey", "ca", "cert", "key"}
        return {
            option: os.path.expanduser(self.fields[field]) if field in paths else self.fields[field]
            for field, option in OPTIONS.items()
            if self.fields.get(field)
        }


def _home() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _folder() -> Path:
    return _home() / "nats" / "context"


def _choice() -> Path:
    return _home() / "sagakit" / "context.txt"


def names() -> Sequence[str]:
    """Return the names of all contexts."""
    return sorted(file.stem for file in _folder().glob("*.json"))


def read(name: str) -> NatsContext:
    """Return a context. Raises UsageError if there is none, or if it cannot be read."""
    file = _folder() / f"{name}.json"
    if name not in names():
        known = ", ".join(names()) or "none; `nats context add` makes one"
        raise UsageError(f"there is no context {name!r} in {file.parent}: there are {known}")
    try:
        fields = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    url = fields.get("url")
    if not isinstance(url, str) or not url:
        raise UsageError(f"{file} has no url")
    return NatsContext(name, url.replace(" ", ""), fields)


def selected() -> str:
    """Return the name of the context that is used where nothing else is said; empty if there is none."""
    try:
        return os.environ.get(VARIABLE) or _choice().read_text().strip()
    except OSError:
        return ""


def select(name: str) -> None:
    """Use a context from now on, unless a command says otherwise; an empty name selects none. Raises UsageError."""
    if name:
        read(name)
    _choice().parent.mkdir(parents=True, exist_ok=True)
    _choice().write_text(f"{name}\n")


def connection_of(url: str, context: str | None, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the server and the options for a command line that says these. Raises UsageError.

    What the command line says comes first, then `SAGAKIT_*` variables, then the context. `--context` comes before the
    variables that name a server, and these come before the context that was selected.
    """
    if url and context:
        raise UsageError("--nats and --context both name a server: take one of them out")
    named = url or next((os.environ[name] for name in URLS if not context and os.environ.get(name)), "")
    chosen = "" if named else context or selected()
    if not named and not chosen:
        raise UsageError(f"--nats: missing: give it, or set {' or '.join(URLS)}, or give --context")
    if named:
        return named, dict(options)
    found = read(chosen)
    of_context = {name: value for name, value in found.options.items() if f"SAGAKIT_{name.upper()}" not in os.environ}
    return found.url, of_context | dict(options)
