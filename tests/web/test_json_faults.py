"""Values against a JSON Schema: the places of faults, and what is the same once defaults are filled in."""

from __future__ import annotations

import msgspec
import pytest
from sagakit.definition.json_schema import json_schema
from sagakit.web.json_faults import MOST, check_fits, is_same
from sagakit.web.problems import Problem


class Line(msgspec.Struct):
    sku: str
    count: int = 1


class Basket(msgspec.Struct):
    lines: list[Line]
    best: Line | None = None
    note: str = ""


SCHEMA = json_schema(Basket)


def faults(value: str) -> list[tuple[str, str]]:
    with pytest.raises(Problem) as told:
        check_fits(msgspec.Raw(value.encode()), SCHEMA, what="the input", path="$.input")
    assert told.value.status == 422
    return [(fault.path, fault.reason) for fault in told.value.more["faults"]]


def test_each_fault_has_its_path() -> None:
    check_fits(msgspec.Raw(b'{"lines": [{"sku": "a"}]}'), SCHEMA, what="the input", path="$")
    assert faults('{"lines": [{"sku": "a"}, {"sku": 1}], "note": 2}') == [
        ("$.input.lines[1].sku", "1 is not of type 'string'"),
        ("$.input.note", "2 is not of type 'string'"),
    ]
    assert faults("[]") == [("$.input", "[] is not of type 'object'")]


def test_faults_are_bounded_in_number_and_length() -> None:
    found = faults('{"lines": [' + ", ".join(["{}"] * 50) + "]}")
    assert len(found) == MOST
    (_, reason), *_ = faults('{"lines": [], "note": ["' + "x" * 10_000 + '"]}')
    assert len(reason) < 400


def test_what_is_no_json_for_us_is_a_fault() -> None:
    assert [path for path, _ in faults("[" * 5000 + "]" * 5000)] == ["$.input"]


def test_a_reference_to_another_document_is_never_fetched() -> None:
    with pytest.raises(Exception, match="Unresolvable"):
        check_fits(msgspec.Raw(b"1"), {"$ref": "http://127.0.0.1:1/x"}, what="the input", path="$")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"lines": [{"sku": "a"}]}', '{"note": "", "lines": [{"count": 1, "sku": "a"}], "best": null}', True),
        ('{"lines": [{"sku": "a"}]}', '{"lines": [{"sku": "a", "count": 2}]}', False),
        ('{"lines": []}', '{"lines": [], "note": "x"}', False),
        ('{"lines": [], "more": 1}', '{"lines": [], "more": true}', False),
        ("[", "[", False),
    ],
)
def test_values_are_the_same_once_defaults_are_filled_in(one: str, other: str, same: bool) -> None:
    assert is_same(msgspec.Raw(one.encode()), msgspec.Raw(other.encode()), SCHEMA) is same
