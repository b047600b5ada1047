"""Redaction: which fields a path hides, and what is told of a path that is none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sagakit.client.redaction import HIDDEN, Redaction, paths_of_environment
from sagakit.errors import InvalidConfig, InvalidInput
from sagakit.repository import parse

ORDER: dict[str, Any] = {
    "sku": "lamp",
    "card": {"number": "4111", "Holder": "ann"},
    "cards": [{"number": "4222"}, {"number": "4333"}],
    "login": {"accessToken": "abc", "password": {"old": "x"}},
}


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("number", ["4111", "4222", "4333"]),
        ("card.number", ["4111"]),
        ("cards.number", ["4222", "4333"]),
        ("input.card", ["4111", "ann"]),
        ("output.card", []),
        ("holder", ["ann"]),
        ("*token*", ["abc"]),
        ("*.password", ["x"]),
        ("password.old", ["x"]),
        ("word", []),
        ("input", ["lamp", "4111", "ann", "4222", "4333", "abc", "x"]),
    ],
)
def test_a_path_hides_each_field_whose_way_ends_with_it(path: str, hidden: list[str]) -> None:
    redaction, texts = Redaction([path]), ["lamp", "4111", "ann", "4222", "4333", "abc", "x"]
    shown = msgspec.json.encode(redaction.value(ORDER, "input")).decode()
    assert [text for text in texts if f'"{text}"' not in shown] == hidden
    assert (HIDDEN in shown) == bool(hidden)
    raw = redaction.raw(msgspec.Raw(msgspec.json.encode(ORDER)), "input")
    assert msgspec.json.decode(raw) == msgspec.json.decode(shown)


def test_nothing_is_touched_where_nothing_is_hidden() -> None:
    data = msgspec.Raw(b'{"n": 123456789012345678901234567890, "x": 1.50}')
    assert Redaction().raw(data, "input") is data
    assert Redaction(["password"]).raw(data, "input") is data
    assert Redaction(["password"]).raw(msgspec.Raw(), "output") == msgspec.Raw()


def test_json_that_cannot_be_read_is_hidden_as_a_whole() -> None:
    assert bytes(Redaction(["password"]).raw(msgspec.Raw(b'{"password": "abc'), "payload")) == b'"***"'


@pytest.mark.parametrize("path", ["", "a..b", ".a", "a b", "a."])
def test_a_path_that_is_none_is_told(path: str) -> None:
    with pytest.raises(InvalidConfig, match="is not the path of a field: write names with dots"):
        Redaction([path])


def test_a_text_in_place_of_a_list_is_told() -> None:
    with pytest.raises(InvalidConfig, match="give a list of paths"):
        Redaction("password")


def test_no_filter_may_try_values_of_a_hidden_attribute() -> None:
    hides = Redaction(["attributes.email"])
    hides.check_filter(parse("type = Buy and attributes.region = eu", now=0.0).condition)
    for text in ("attributes.email = a", "not (type = Buy or attributes.email ~ a)"):
        with pytest.raises(InvalidInput, match=r"attributes\.email: it is hidden here"):
            hides.check_filter(parse(text, now=0.0).condition)


def test_commands_have_their_paths_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGAKIT_REDACT", "password, card.number")
    assert paths_of_environment() == ["password", "card.number"]
    monkeypatch.setenv("SAGAKIT_REDACT", " ")
    assert not paths_of_environment()
