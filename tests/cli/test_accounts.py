"""`sagakit permissions` prints what the one list says; that the list is right is shown in tests/security."""

from __future__ import annotations

import pytest
from sagakit.cli.accounts import as_nsc, as_server_config
from sagakit.cli.app import app
from sagakit.store.names import Names
from sagakit.store.permissions import ROLES, Role, permissions_of
from typer.testing import CliRunner


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["permissions", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("role", ROLES)
def test_permissions_of_each_role(role: Role) -> None:
    plain = permissions_of(role, Names(), inbox_prefix="_INBOX")
    assert printed(role) == as_server_config(plain) + "\n"
    names = Names(namespace="shop", shards=3)
    other = permissions_of(role, names, inbox_prefix="_INBOX_x")
    given = ("--namespace", "shop", "--shards", "3", "--inbox-prefix", "_INBOX_x")
    assert printed(role, *given) == as_server_config(other) + "\n"
    assert printed(role, *given, "--nsc") == as_nsc(other) + "\n"


@pytest.mark.parametrize("role", ROLES)
def test_no_subject_reaches_beyond_the_namespace(role: Role) -> None:
    found = permissions_of(role, Names(namespace="shop"), inbox_prefix="_INBOX_x")
    for grant in (*found.publish, *found.subscribe):
        assert "shop" in grant.subject or grant.subject in ("$JS.API.INFO", "_INBOX_x.>"), grant


@pytest.mark.parametrize("prefix", ["a >", "", "*", "a..b", "ä"])
def test_an_inbox_prefix_that_no_runtime_would_take_is_a_wrong_command_line(prefix: str) -> None:
    done = CliRunner().invoke(app, ["permissions", "reader", "--inbox-prefix", prefix])
    assert done.exit_code == 2
    assert "inbox_prefix=" in done.stderr


def test_a_wrong_namespace_is_a_wrong_command_line() -> None:
    done = CliRunner().invoke(app, ["permissions", "reader", "--namespace", "a b"])
    assert done.exit_code == 2
    assert "namespace 'a b'" in done.stderr
