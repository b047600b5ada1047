"""The selector of the operator commands: which keys and which filter words and options make."""

from __future__ import annotations

import io

import pytest
from sagakit.cli.choosing import Choice, choice_of, choice_to_change, choice_to_look, key_of
from sagakit.cli.exits import UsageError

from tests.repository.test_filters import NOW, record_with


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("PlaceOrder.order-7", "PlaceOrder.order-7"),
        ("PlaceOrder.order/7", "PlaceOrder.order=2F7"),
        ("PlaceOrder.order=2F7", "PlaceOrder.order=2F7"),
        ("PlaceOrder.a=b", "PlaceOrder.a=3Db"),
        ("PlaceOrder.a.b", "PlaceOrder.a=2Eb"),
        ("PlaceOrder.=FF", "PlaceOrder.=3DFF"),
        ("PlaceOrder.order=37", "PlaceOrder.order=3D37"),
    ],
)
def test_an_id_may_be_written_as_it_is_or_as_keys_have_it(word: str, key: str) -> None:
    assert key_of(word) == key


def test_keys_from_standard_input_are_lines_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('A.1\n\n{"key":"A.2","status":"stuck"}\nA.1\n'))
    assert choice_of(["-", "A.3"], None).keys == ("A.1", "A.2", "A.3")
    monkeypatch.setattr("sys.stdin", io.StringIO('{"id":"2"}\n'))
    with pytest.raises(UsageError, match="neither a key nor JSON with a field `key`"):
        choice_of(["-"], None)


def test_nothing_on_standard_input_chooses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    choice = choice_to_change(["-"], None)
    assert (choice.keys, choice.filters) == ((), False)
    assert choice_to_look(["-"], None) == choice
    assert not choice.wanted(NOW).fits(record_with()), "`count -` counted all sagas"


def test_a_closed_standard_input_chooses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python then has None in its place."""
    monkeypatch.setattr("sys.stdin", None)
    assert choice_to_change(["-"], None) == Choice()


def test_an_empty_list_of_keys_beside_a_filter_does_not_become_the_whole_filter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    for words in (["-"], [""], ["A.*", "-"]):
        with pytest.raises(UsageError, match="names some: give keys, or globs and --where"):
            choice_to_change(words, "status = stuck")


def test_a_look_without_a_choice_is_at_all_sagas() -> None:
    assert choice_to_look([], None) == Choice(where="")


@pytest.mark.parametrize(
    ("glob", "ids", "found"),
    [
        ("BookTrip.*", ["a", "b/1"], ["a", "b/1"]),
        ("BookTrip.b*", ["a", "b/1", "ab"], ["b/1"]),
        ("BookTrip.b/?", ["b/1", "b/12"], ["b/1"]),
        ("BookTrip.b=2F*", ["b/1", "b"], ["b/1"]),
        ("Book*", ["a"], ["a"]),
        ("*", ["a"], ["a"]),
        ("Pay*.*", ["a"], []),
        ("BookTrip.[ab]", ["a", "b", "c"], ["a", "b"]),
        ("BookTrip.a.*", ["a.b", "axb"], ["a.b"]),
    ],
)
def test_a_glob_fits_whole_keys_by_their_plain_ids(glob: str, ids: list[str], found: list[str]) -> None:
    wanted = choice_of([glob], None).wanted(NOW)
    assert [id for id in ids if wanted.fits(record_with(saga_id=id))] == found


def test_a_glob_and_a_filter_both_have_to_fit() -> None:
    wanted = choice_of(["BookTrip.a*", "BookTrip.b*"], "status = stuck").wanted(NOW)
    assert wanted.types == frozenset({"BookTrip"})
    assert wanted.statuses == frozenset({"stuck"})
    assert wanted.fits(record_with(saga_id="b1", status="stuck"))
    assert not wanted.fits(record_with(saga_id="b1"))
    assert not wanted.fits(record_with(saga_id="c1", status="stuck"))
