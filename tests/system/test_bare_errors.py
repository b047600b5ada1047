"""Tests of the errors of a context: alone, several, and several of sagakit's own."""

from __future__ import annotations

import pytest
from sagakit.client.bare_errors import bare_errors
from sagakit.errors import NotPermitted, Unavailable


def test_one_error_is_raised_without_its_groups() -> None:
    error = ValueError("no")
    with pytest.raises(ValueError, match="no") as caught, bare_errors():
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [error])])
    assert caught.value is error


def test_errors_of_others_stay_together() -> None:
    with pytest.raises(ExceptionGroup), bare_errors():
        raise ExceptionGroup("two", [ValueError("a"), Unavailable("b")])


def test_two_refused_subjects_are_one_error_that_names_both() -> None:
    refused = [NotPermitted("saga.a", publish=True), NotPermitted("saga.b", publish=False)]
    with pytest.raises(NotPermitted, match=r"saga\.a") as caught, bare_errors():
        raise ExceptionGroup("nursery", [refused[0], ExceptionGroup("inner", [refused[1]])])
    assert [note for note in caught.value.__notes__ if "saga.b" in note]
