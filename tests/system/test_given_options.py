"""The typed options of `open_runtime` are those of `Config`, with its types and its words."""

from __future__ import annotations

from typing import get_type_hints

from sagakit import Config
from sagakit.system.given_options import Options


def test_the_typed_options_are_those_of_config() -> None:
    assert get_type_hints(Options) == get_type_hints(Config)
    assert Options.__required_keys__ == frozenset()
