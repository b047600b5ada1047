"""`sagakit permissions` and `sagakit setup`: accounts with the least permissions, and buckets made beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import trio

from sagakit.cli.exits import CommandExit, exit_of
from sagakit.client.bare_errors import bare_errors
from sagakit.errors import SagakitError
from sagakit.messages.command_permissions import with_commands
from sagakit.messages.commands import Command
from sagakit.store.accounts import INSIDE, OUTSIDE, Export, exports_of
from sagakit.store.names import Names
from sagakit.store.permissions import Grant, Permissions, Role, permissions_of, streams_of
from sagakit.system.config import Config
from sagakit.system.open_store import names_of, open_store

RESPONSES = '{ max: 1, expires: "1m" }'
"""Limits of a worker's answers: one for each request, within a minute."""


def as_server_config(permissions: Permissions) -> str:
    """Return the block `permissions` of a user for nats-server's configuration file."""
    return "\n".join(
        [
            "permissions {",
            *_block("publish", permissions.publish),
            *_block("subscribe", permissions.subscribe),
            *([f"  allow_responses {RESPONSES}"] if permissions.responses else []),
            "}",
        ]
    )


def as_nsc(permissions: Permissions) -> str:
    """Return the options of `nsc add user`."""
    lines = [f"--allow-pub '{','.join(grant.subject for grant in permissions.publish)}'"]
    lines.append(f"--allow-sub '{','.join(grant.subject for grant in permissions.subscribe)}'")
    return " ".join([*lines, *(["--allow-pub-response --response-ttl 1m"] if permissions.responses else [])])


def rights_of(role: Role, names: Names, *, inbox_prefix: str, commands: Sequence[Command] = ()) -> Permissions:
    """Return the permissions of a role, with those that a worker needs for its commands."""
    found = permissions_of(role, names, inbox_prefix=inbox_prefix)
    return with_commands(found, commands, names) if role == "worker" else found


def as_two_accounts(names: Names, *, inbox_prefix: str, commands: Sequence[Command] = ()) -> str:
    """Return the block `accounts` for nats-server's configuration file: workers with JetStream, the others without.

    The user of each role has the permissions of the role, and the inbox prefix `{inbox_prefix}_{role}`. Those of
    workers include what the commands need.
    """
    workers, clients = (f"{names.namespace}_{name}" if names.namespace else name for name in ("WORKERS", "CLIENTS"))
    exports = exports_of(names)
    return "\n".join(
        [
            "# Passwords come from nats-server's environment, such as SAGAKIT_WORKER_PASSWORD.",
            "accounts {",
            f"{workers} {{",
            "jetstream: enabled",
            *_users(INSIDE, names, inbox_prefix, commands),
            "exports: [",
            *(f"  {{ {one.kind}: {_quoted(one)}, accounts: [{clients}]{_answers(one)} }}" for one in exports),
            "] }",
            f"{clients} {{",
            *_users(OUTSIDE, names, inbox_prefix, ()),
            "imports: [",
            *(f"  {{ {one.kind}: {{ account: {workers}, subject: {_quoted(one)} }} }}" for one in exports),
            "] }",
            "}",
        ]
    )


def _users(roles: tuple[Role, ...], names: Names, inbox_prefix: str, commands: Sequence[Command]) -> Iterator[str]:
    yield "users: ["
    for role in roles:
        yield f"{{ user: {role}, password: $SAGAKIT_{role.upper()}_PASSWORD"
        yield as_server_config(rights_of(role, names, inbox_prefix=f"{inbox_prefix}_{role}", commands=commands)) + " }"
    yield "]"


def _quoted(export: Export) -> str:
    return f'"{export.grant.subject}"'


def _answers(export: Export) -> str:
    return ", response: stream" if export.has_many_answers else ""


def _block(verb: str, grants: tuple[Grant, ...]) -> Iterator[str]:
    yield f"  {verb} {{ allow: ["
    width = max(len(grant.subject) for grant in grants) + 3
    for grant in grants:
        quoted = f'"{grant.subject}"'
        yield f"    {quoted:<{width}}# {grant.why}"
    yield "  ] }"


def set_up(url: str, file: str | None, options: dict[str, Any]) -> tuple[CommandExit, str]:
    """Make the buckets and streams that are missing. Return the exit code, and the text to print."""
    try:
        with bare_errors():
            names = trio.run(_set_up, url, Config.load(file, **options))
    except SagakitError as error:
        return exit_of(error), str(error)
    return CommandExit.DRAINED, f"these exist and are as they must be: {', '.join(streams_of(names))}"


async def _set_up(url: str, config: Config) -> Names:
    async with open_store(url, config) as store:
        await store.complete_layout()
        return names_of(config)
