"""The record keeps the fields of a refusal's detail that fit, and names the others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sagakit.engine.details import fitting_detail
from sagakit.engine.record import NOTHING


def fitted(detail: Any, most: int) -> Any:
    found = fitting_detail(msgspec.Raw(msgspec.json.encode(detail)), most)
    assert len(memoryview(found)) <= most
    return None if found is NOTHING else msgspec.json.decode(found)


def test_a_detail_that_fits_is_kept_as_it_is() -> None:
    assert fitted({"status": 402, "body": "no"}, 100) == {"status": 402, "body": "no"}


def test_a_detail_that_is_too_large_keeps_each_field_that_fits() -> None:
    found = fitted({"status": 402, "body": "x" * 5000, "card": "visa"}, 4096)
    assert found == {"status": 402, "card": "visa", "not_kept": ["body"]}


def test_fields_dropped_under_a_wider_bound_are_still_named_under_a_narrower_one() -> None:
    found = fitted({"status": 402, "body": "x" * 5000, "note": "y" * 200}, 4096)
    assert fitted(found, 100) == {"status": 402, "not_kept": ["body", "note"]}


@pytest.mark.parametrize("most", [60, 100, 400, 4096])
def test_the_names_of_dropped_fields_are_bounded_too(most: int) -> None:
    found = fitted({f"{number}{'n' * number}": "x" * 5000 for number in range(3000)}, most)
    last = found["not_kept"][-1]
    assert last.endswith(" more") or last == "fields: 3000"


def test_as_many_of_thousands_of_small_fields_are_kept_as_fit() -> None:
    found = fitted({str(number): number for number in range(100_000)}, 4096)
    assert list(found)[:3] == ["0", "1", "2"]
    assert len(found) > 100
    assert found["not_kept"][-1].endswith(" more")


@pytest.mark.parametrize("detail", [["x"] * 100, "x" * 100, {"x" * 100: 1}])
def test_a_detail_without_fields_to_keep_or_name_is_dropped(detail: Any) -> None:
    assert fitted(detail, 20) is None


def test_a_field_with_the_name_of_the_note_gives_way_to_it() -> None:
    assert fitted({"not_kept": 1, "body": "x" * 200}, 100) == {"not_kept": ["not_kept", "body"]}
