"""The extras of this package: which modules each brings, and how a program is told that one is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

EXTRAS: Mapping[str, Sequence[str]] = {
    "embedded": (),
    "cli": ("rich", "typer", "yaml"),
    "testing": ("hypothesis",),
    "prometheus": ("prometheus_client",),
    "otel": ("opentelemetry",),
    "crypto": ("cryptography",),
    "worker": ("hypercorn", "prometheus_client", "pythonjsonlogger", "starlette"),
    "web": ("anyio", "hypercorn", "jinja2", "jsonschema", "pythonjsonlogger", "starlette"),
    "nkeys": ("nacl", "nkeys"),
    "websocket": ("aiohttp",),
    "export": ("pyarrow",),
    "sql": ("duckdb",),
}
"""The modules that each extra brings, besides those of the extras that it includes. A server is not a module."""


def command_for(extra: str) -> str:
    """Return the command that installs an extra, or several with commas."""
    return f"pip install 'sagakit[{extra}]'"


def missing_of(names: Sequence[str]) -> Sequence[str]:
    """Return the modules among these that are not installed."""
    return [name for name in names if find_spec(name) is None]


def named(error: ModuleNotFoundError, what: str, extra: str) -> ModuleNotFoundError:
    """Return an error that names the extra, for a module that is missing. Return the error itself if another is.

    `what` is the part of sagakit that needs it.
    """
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS.get(extra, ()):
        return error
    return ModuleNotFoundError(f"{what} needs {module}: {command_for(extra)}", name=error.name)
