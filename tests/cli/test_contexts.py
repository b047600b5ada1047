"""Contexts of the `nats` command: read from its files, chosen by option, variable or `sagakit context select`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sagakit import Config
from sagakit.cli.app import app
from sagakit.cli.exits import CommandExit
from typer.testing import CliRunner, Result

from tests.servers import Server, running_server

NO_SERVER = {"NATS_URL": "", "SAGAKIT_NATS_URL": "", "SAGAKIT_CONTEXT": ""}
LOGIN = "authorization { users: [ { user: shop, password: secret } ] }"


class Desk:
    """A person's configuration folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "nats" / "context").mkdir(parents=True)

    def has(self, name: str, **fields: Any) -> None:
        (self.folder / "nats" / "context" / f"{name}.json").write_text(json.dumps(fields))

    def says(self, *words: str, environment: Mapping[str, str] | None = None) -> Result:
        given = {"XDG_CONFIG_HOME": str(self.folder), "COLUMNS": "120", **NO_SERVER, **(environment or {})}
        return CliRunner().invoke(app, list(words), env=given)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_command_connects_with_the_login_of_a_context(desk: Desk, tmp_path: Path) -> None:
    with running_server(tmp_path / "server", config=LOGIN) as server:
        desk.has("shop", url=server.url, user="shop", password="secret", inbox_prefix="_INBOX_shop")
        desk.has("wrong", url=server.url, user="shop", password="guessed")
        assert desk.says("setup", "--context", "shop").exit_code == 0
        assert desk.says("list", "--context", "shop").exit_code == 0
        assert desk.says("list", "--context", "wrong").exit_code == CommandExit.NOT_PERMITTED
        # an option of the command line, and a variable, come before the context
        right = {"SAGAKIT_PASSWORD": "secret"}
        assert desk.says("list", "--context", "wrong", environment=right).exit_code == 0
        assert desk.says("list", "--context", "shop", "--user", "nobody").exit_code == CommandExit.NOT_PERMITTED


def test_a_selected_context_is_used_where_nothing_names_a_server(desk: Desk, server: Server, namespace: str) -> None:
    there = ("--namespace", namespace)
    desk.has("here", url=server.url)
    desk.has("nowhere", url="nats://127.0.0.1:1")
    quick = {"SAGAKIT_CONNECT_TIMEOUT": "0.2"}
    assert desk.says("list", *there).exit_code == CommandExit.USAGE
    assert desk.says("context", "select", "here").exit_code == 0
    assert desk.says("setup", *there).exit_code == 0
    assert desk.says("list", *there).exit_code == 0
    assert desk.says("context", "select", "nowhere").exit_code == 0
    assert desk.says("list", *there, environment=quick).exit_code == CommandExit.UNAVAILABLE
    assert desk.says("list", *there, environment={"SAGAKIT_CONTEXT": "here"}).exit_code == 0
    assert desk.says("list", *there, environment={"NATS_URL": server.url}).exit_code == 0
    assert desk.says("list", *there, "--context", "here", environment={"NATS_URL": "nats://x"}).exit_code == 0
    assert desk.says("list", *there, "--nats", server.url).exit_code == 0
    assert desk.says("context", "select", "--none").exit_code == 0
    assert desk.says("list", *there).exit_code == CommandExit.USAGE


def test_the_choice_of_the_nats_command_is_neither_used_nor_changed(desk: Desk, server: Server) -> None:
    desk.has("one", url=server.url)
    desk.has("two", url=server.url)
    theirs = desk.folder / "nats" / "context.txt"
    theirs.write_text("one")
    assert "--nats: missing" in desk.says("list").stderr
    assert desk.says("context", "select", "two").exit_code == 0
    assert theirs.read_text() == "one"


def test_contexts_are_listed_and_shown_without_secrets(desk: Desk) -> None:
    desk.has("shop", url="nats://a:4222, nats://b:4222", description="the shop", user="u", password="p", token="")
    desk.has("bank", url="tls://bank", creds="~/bank.creds", jetstream_domain="hub", color_scheme="red")
    desk.says("context", "select", "bank")
    assert desk.says("context", "list").stdout == (
        "   context  server                       description\n"
        "*  bank     tls://bank\n"
        "   shop     nats://a:4222,nats://b:4222  the shop\n"
    )
    said = desk.says("context", "show", "shop").stdout
    assert "password: ***" in said
    assert "user: u" in said
    shown = json.loads(desk.says("context", "show", "-o", "json").stdout)
    assert (shown["name"], shown["selected"]) == ("bank", True)
    assert shown["fields"] == {"url": "tls://bank", "creds": "~/bank.creds", "jetstream_domain": "hub"}


def test_no_context_is_an_empty_list(desk: Desk) -> None:
    assert desk.says("context", "list", "-o", "json").stdout == "[]\n"
    assert desk.says("context", "show").exit_code == CommandExit.USAGE


def test_a_context_that_cannot_be_read_is_told_and_the_others_are_listed(desk: Desk) -> None:
    desk.has("shop", url="nats://x")
    (desk.folder / "nats" / "context" / "broken.json").write_text("{")
    done = desk.says("context", "list", "-o", "json")
    assert [line["name"] for line in json.loads(done.stdout)] == ["shop"]
    assert "broken.json cannot be read" in done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("list", "--context", "nosuch"), "there is no context 'nosuch'"),
        (("list", "--context", "../shop"), "there is no context '../shop'"),
        (("list", "--context", "shop", "--nats", "nats://x"), "take one of them out"),
        (("list", "--context", "broken"), "cannot be read"),
        (("list", "--context", "empty"), "has no url"),
        (("context", "select", "nosuch"), "there is no context 'nosuch'"),
        (("context", "show", "nosuch"), "there is no context 'nosuch'"),
        (("context", "select"), "name a context, or give --none"),
    ],
)
def test_a_context_that_cannot_be_used_is_refused(desk: Desk, words: tuple[str, ...], text: str) -> None:
    desk.has("shop", url="nats://x")
    desk.has("empty", url="")
    (desk.folder / "nats" / "context" / "broken.json").write_text("{")
    done = desk.says(*words)
    assert done.exit_code == CommandExit.USAGE
    assert text in " ".join(done.stderr.split())


def test_the_variable_of_the_context_is_not_taken_for_a_misspelt_option() -> None:
    assert Config.from_env({"SAGAKIT_CONTEXT": "shop"}) == Config()
