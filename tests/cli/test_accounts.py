"""`sagakit permissions` prints the list of permissions. tests/security shows that the list is right."""

from __future__ import annotations

import pytest
from sagakit.cli.accounts_command import as_nsc, as_server_config, as_two_accounts
from sagakit.cli.app import app
from sagakit.store.accounts import INSIDE, OUTSIDE, exports_of
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
        everybodys = grant.subject in ("$JS.API.INFO", "_INBOX_x.>") or grant.subject.startswith("$SRV.")
        assert "shop" in grant.subject or everybodys, grant


@pytest.mark.parametrize("names", [Names(), Names(namespace="shop", shards=3)], ids=["plain", "namespace-and-shards"])
def test_two_accounts_of_all_roles(names: Names) -> None:
    given = ("--namespace", names.namespace, "--shards", str(names.shards), "--inbox-prefix", "_IN")
    text = printed("--accounts", *given)
    assert text == as_two_accounts(names, inbox_prefix="_IN") + "\n"
    for role in ROLES:
        assert as_server_config(permissions_of(role, names, inbox_prefix=f"_IN_{role}")) in text
        assert f"{{ user: {role}, password: $SAGAKIT_{role.upper()}_PASSWORD\n" in text


def test_the_account_of_the_workers_exports_what_the_other_roles_may_do_and_nothing_else() -> None:
    names = Names(namespace="shop", shards=2)
    assert {*INSIDE, *OUTSIDE} == set(ROLES)
    exported = {(export.kind, export.grant.subject) for export in exports_of(names)}
    wanted = set()
    for role in OUTSIDE:
        found = permissions_of(role, names, inbox_prefix="_IN")
        wanted |= {("service", grant.subject) for grant in found.publish}
        wanted |= {("stream", grant.subject) for grant in found.subscribe} - {("stream", "_IN.>")}
    assert exported == wanted
    written = [subject for kind, subject in exported if kind == "service" and subject.startswith("$KV.")]
    assert sorted(written) == [f"$KV.{names.jobs}.>", f"$KV.{names.values}.start.>"], "no role outside writes elsewhere"
    lines = printed("--accounts", "--namespace", "shop", "--shards", "2").splitlines()
    for kind, subject in exported:
        assert sum(line.startswith(f'  {{ {kind}: "{subject}", accounts: [shop_CLIENTS]') for line in lines) == 1
        assert lines.count(f'  {{ {kind}: {{ account: shop_WORKERS, subject: "{subject}" }} }}') == 1
    many = [line for line in lines if line.endswith(", response: stream }")]
    assert len(many) == sum(".MSG.NEXT." in subject for _, subject in exported)


@pytest.mark.parametrize("arguments", [(), ("reader", "--accounts"), ("--accounts", "--nsc"), ("--nsc",)])
def test_permissions_of_one_role_or_of_all(arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, ["permissions", *arguments])
    assert done.exit_code == 2
    assert "--accounts for all" in done.stderr


@pytest.mark.parametrize("prefix", ["a >", "", "*", "a..b", "ä"])
def test_an_inbox_prefix_that_no_runtime_would_take_is_a_wrong_command_line(prefix: str) -> None:
    done = CliRunner().invoke(app, ["permissions", "reader", "--inbox-prefix", prefix])
    assert done.exit_code == 2
    assert "inbox_prefix=" in done.stderr


def test_a_wrong_namespace_is_a_wrong_command_line() -> None:
    done = CliRunner().invoke(app, ["permissions", "reader", "--namespace", "a b"])
    assert done.exit_code == 2
    assert "namespace 'a b'" in done.stderr
