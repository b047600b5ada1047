"""Tests of the relay's options: wrong ones are refused, with what to write."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from sagakit import DefinitionError, InvalidConfig, outbox

from tests.sagas import BookTrip


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sagas": []}, r"in a list: sagas=\[\.\.\.\]"),
        ({"sagas": BookTrip}, r"in a list: sagas=\[\.\.\.\]"),
        ({"poll_interval": 0}, "poll_interval=0 must be a number of seconds"),
        ({"poll_interval": -1}, "poll_interval=-1 must be"),
        ({"poll_interval": "1s"}, "poll_interval='1s' must be a number of seconds above 0"),
        ({"connect": sqlite3.connect(":memory:")}, r"write a function that opens a connection, such as partial\("),
        ({"connect": "shop.db"}, "connect='shop.db': write a function that opens a connection"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        outbox.Relay(**{"connect": print, "sagas": [BookTrip], **options})


def test_a_relay_of_an_instance_says_to_write_the_class() -> None:
    sagas: Any = [BookTrip()]
    with pytest.raises(DefinitionError, match=r"BookTrip\(\.\.\.\) is not a Saga class: write the class itself"):
        outbox.Relay(print, sagas=sagas)
