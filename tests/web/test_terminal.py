"""The commands that pages offer: each is one that the command line takes, and asks for the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlencode

import pytest
from sagakit.cli.app import app
from sagakit.cli.choosing import key_of
from sagakit.cli.session import Session
from sagakit.naming import SagaKey, encode_id
from sagakit.web.application import PAGES
from sagakit.web.terminal import command_for
from starlette.datastructures import QueryParams
from starlette.routing import compile_path
from typer.core import TyperCommand
from typer.testing import CliRunner

from tests.web.test_api import HOSTILE

ODD = """error ~ "it's $HOME; `x` & | > \\d !! 雪" and status = stuck"""
DRY = {"dry_run": True, "reason": "preview"}
COMMANDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "/": ("count", {}),
    "/stuck": ("groups", {}),
    "/sagas": ("list", {"where": None, "columns": None, "limit": 50}),
    "/sagas?where=+": ("list", {"where": None}),
    f"/sagas?{urlencode({'where': ODD})}": ("list", {"where": ODD}),
    "/sagas?column=age&column=attributes.a+b": ("list", {"where": None, "columns": "age,attributes.a b"}),
    "/sagas/act?verb=cancel&where=status+%3D+stuck": ("cancel", {"where": "status = stuck", **DRY}),
    "/sagas/Buy/order-7": ("describe", {"saga": "Buy.order-7"}),
    "/sagas/Buy/order-7?at=3": ("replay", {"saga": "Buy.order-7"}),
    "/sagas/Buy/order-7/signals/approved": ("signal", {"sagas": ["Buy.order-7"], "name": "approved", **DRY}),
    "/jobs": ("jobs", {}),
    "/jobs/20261130-1": ("jobs", {}),
    "/workers": ("workers", {}),
    "/audit": ("audit", {"by": "", "limit": 100}),
    "/audit?by=ann": ("audit", {"by": "ann"}),
    "/dead-letters": ("list", {"subject": None, "reason_contains": None}),
    "/dead-letters?subject=sagain.Buy.%3E&reason_contains=it%27s": (
        "list",
        {"subject": "sagain.Buy.>", "reason_contains": "it's"},
    ),
    "/dead-letters/act?verb=resend": ("resend", {"all": True, **DRY}),
    "/dead-letters/act?verb=delete&reason_contains=old": ("delete", {"all": None, "reason_contains": "old", **DRY}),
    "/dead-letters/7": ("show", {"letter": 7}),
}
"""Addresses of pages, each with the command and what it has to be given."""
WITHOUT = {
    "/stuck/act",  # a filter is not as exact as a group
    "/definitions",
    "/definitions/{type}",
    "/definitions/{type}/start",
    "/time-zone",
    "/assets/{name}",
}
"""Pages without a command."""


class Checked(Exception):
    """The command line has taken the words: nothing was connected."""


def taken(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, Mapping[str, Any]]:
    """Return the command that takes the words, and what it is given, after it has checked that."""
    found: dict[str, Any] = {}
    given: list[tuple[str, Mapping[str, Any]]] = []
    invoke = TyperCommand.invoke

    def noted(command: Any, ctx: Any) -> Any:
        given.append((command.name, ctx.params))
        return invoke(command, ctx)

    def run(session: Session, prepared: Any) -> NoReturn:
        prepared()
        found.update(session.options)
        raise Checked

    monkeypatch.setattr(TyperCommand, "invoke", noted)
    monkeypatch.setattr(Session, "run", run)
    done = CliRunner().invoke(app, words, env={"NATS_URL": "nats://localhost"})
    assert isinstance(done.exception, Checked), done.output
    assert found.get("namespace") == "shop"
    return given[-1]


@pytest.mark.parametrize("address", COMMANDS)
def test_the_command_of_a_page_is_taken_and_asks_for_the_same(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _, query = address.partition("?")
    words = shlex.split(command_for(path, QueryParams(query), "shop"))
    assert words[0] == "sagakit"
    name, given = taken(words[1:], monkeypatch)
    expected_name, expected = COMMANDS[address]
    assert name == expected_name
    assert {option: given[option] for option in expected} == expected


@pytest.mark.parametrize("id", HOSTILE)
def test_the_command_of_a_saga_names_that_saga(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command_for(f"/sagas/Buy/{encode_id(id)}", QueryParams(), "shop"))
    name, given = taken(words[1:], monkeypatch)
    assert (name, key_of(given["saga"])) == ("describe", str(SagaKey("Buy", id)))


def test_each_page_has_a_command_or_is_known_to_have_none() -> None:
    tested = [address.partition("?")[0] for address in COMMANDS]
    for method, path, _, _ in PAGES:
        if method == "GET":
            pattern = compile_path(path)[0]
            assert any(pattern.fullmatch(one) for one in tested) != (path in WITHOUT), path
    assert not any(command_for(path, QueryParams(), "") for path in WITHOUT)


def test_a_command_has_no_namespace_if_that_is_the_usual_one() -> None:
    assert command_for("/workers", QueryParams(), "") == "sagakit workers"


@pytest.mark.parametrize("char", ["\u202e", "\n", "\x1b", "\x00"])
def test_a_command_that_would_not_look_as_it_is_is_not_offered(char: str) -> None:
    assert command_for("/sagas", QueryParams({"where": f"a{char}b"}), "") == ""
