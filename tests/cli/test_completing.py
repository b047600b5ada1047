"""Shell completion: keys, types, steps and signals, as the server has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sagakit.cli import completing
from sagakit.cli.app import app
from sagakit.jetstream.ports import free_port
from typer.testing import CliRunner

from tests.client.faces import Buy, Order, on_trio_client, worker
from tests.servers import Server


def completions(words: str, url: str, namespace: str = "", shell: str = "bash") -> list[str]:
    """Return what a shell offers for the last word of a line; `words` ends with a blank for a new word."""
    number = len(words.split(" ")) - 1
    given = {
        "_SAGAKIT_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(number),
        "NATS_URL": url,
        "SAGAKIT_NAMESPACE": namespace,
    }
    done = CliRunner().invoke(app, [], prog_name="sagakit", env=given)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the server more time than a person has."""
    monkeypatch.setattr(completing, "WITHIN", 30.0)


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[tuple[str, str]]:
    """A server with two sagas that wait and one that has ended: its URL, and the namespace."""

    async def body(client: Any) -> None:
        for id in ("c-1", "c:2"):
            await client.start(Buy, id, Order(asks=True), wait="started")
        await client.start(Buy, "over", Order(), wait="ended")

    with worker(server, "complete"):
        on_trio_client(server.url, body, namespace="complete")
        yield server.url, "complete"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("sagakit cancel ", {"Buy.c-1", "Buy.c=3A2"}),
        ("sagakit cancel B", {"Buy.c-1", "Buy.c=3A2"}),
        ("sagakit cancel Buy.c-1 Buy.c=", {"Buy.c=3A2"}),
        ("sagakit cancel Nobody", set()),
        ("sagakit cancel Buy.[", set()),
        ("sagakit describe Buy.o", {"Buy.over"}),
        ("sagakit delete ", {"Buy.over"}),
        ("sagakit start ", {"Buy"}),
        ("sagakit start X", set()),
        ("sagakit mark-undone Buy.c-1 --step ", {"reserve", "charge"}),
        ("sagakit complete-step --step ch", {"charge"}),
        ("sagakit mark-undone Other.1 --step ", set()),
        ("sagakit signal Buy.c-1 a", {"approved"}),
        ("sagakit ca", {"cancel"}),
        ("sagakit list -o js", {"json", "jsonl"}),
    ],
)
def test_a_shell_is_offered(shop: tuple[str, str], words: str, offered: set[str]) -> None:
    assert set(completions(words, *shop)) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_it_too(shop: tuple[str, str], shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "sagakit start B")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert "Buy" in " ".join(completions("", *shop, shell=shell))


def test_without_a_server_nothing_is_offered_and_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completing, "WITHIN", 0.05)
    assert completions("sagakit cancel ", f"nats://127.0.0.1:{free_port()}") == []
    assert completions("sagakit cancel ", "") == []
    assert completions("sagakit cancel ", "nonsense:") == []
