"""The selector of the operator commands: which keys and which filter words and options make."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from sagakit.cli.app import app
from sagakit.cli.choosing import Choice, choice_of, choice_to_change, choice_to_look, key_of
from sagakit.cli.exits import UsageError
from sagakit.cli.json_arguments import json_of
from sagakit.cli.letter_editing import payload_in
from typer.testing import CliRunner

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


class Endless(io.StringIO):
    """Repeats its text for ever; a reader that takes far too much of it fails."""

    def __init__(self, text: str, most: int) -> None:
        super().__init__()
        self._text, self._left = text, most

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        assert self._left >= 0, "read without bound"
        line = self._text if self._text.endswith("\n") else self._text * (size or 0)
        assert line, "read without bound"
        self._left -= len(line)
        return line


def test_a_line_of_standard_input_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Endless("\0", 2**28))
    with pytest.raises(UsageError, match="standard input, line 1: has more than 64 MiB; end each row or key with a li"):
        choice_to_change(["-"], None)


def test_a_line_that_is_not_a_key_is_refused_before_the_next_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `yes | sagakit cancel -`."""
    monkeypatch.setattr("sys.stdin", Endless("y\n", 100))
    with pytest.raises(UsageError, match="'y' is not the key of a saga"):
        choice_to_change(["-"], None)


def test_standard_input_that_is_not_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"A.1\n\xff\n"), encoding="utf-8"))
    with pytest.raises(UsageError, match="standard input is not text in utf-8"):
        choice_to_change(["-"], None)


@pytest.mark.parametrize("read", [payload_in, lambda file: json_of(f"@{file}")], ids=["payload_in", "json_of"])
def test_a_file_without_end_is_refused(read: Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match="/dev/zero has more than 64 MiB: NATS carries no larger message"):
        read("/dev/zero")


def test_a_row_to_import_that_has_no_end_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["import", "/dev/zero", "--nats", f"embedded:{tmp_path}"])
    assert (done.exit_code, done.stderr.partition(";")[0]) == (2, "/dev/zero, line 1: has more than 64 MiB")


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
