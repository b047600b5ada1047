"""The typed options of `open_runtime` are those of `Config`, with the same types and descriptions."""

from __future__ import annotations

import ast
import inspect
from typing import get_type_hints

from sagakit import Config
from sagakit.client.client_opening import ClientOptions
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.layout import StreamOptions
from sagakit.system import given_options
from sagakit.system.connection_options import connection_options
from sagakit.system.given_options import RuntimeOptions
from sagakit.system.open_store import stream_options


def test_the_typed_options_are_those_of_config() -> None:
    assert get_type_hints(RuntimeOptions) == get_type_hints(Config)
    assert RuntimeOptions.__required_keys__ == frozenset()


def test_the_options_of_a_client_have_the_types_of_config() -> None:
    assert get_type_hints(ClientOptions).items() <= get_type_hints(Config).items()


def test_the_descriptions_of_options_are_those_of_config() -> None:
    classes = [node for node in ast.parse(inspect.getsource(given_options)).body if isinstance(node, ast.ClassDef)]
    fields = [field for options in classes for field in options.body[1:]]
    named = [
        field.target.id for field in fields if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    ]
    words = [
        field.value.value for field in fields if isinstance(field, ast.Expr) and isinstance(field.value, ast.Constant)
    ]
    assert list(zip(named, words, strict=True)) == [(name, text) for name, text, _ in Config.describe()]


def test_what_opens_a_store_has_the_defaults_of_config() -> None:
    """A store that a test opens by itself is thus the one that users have."""
    config, plain = Config(), Connection(servers=("a",))
    assert Connection(servers=("a",), **connection_options(config)) == plain
    assert (plain.max_unacked, plain.max_unacked_bytes) == (config.max_unacked, config.max_unacked_bytes)
    assert stream_options("nats://a", config) == StreamOptions()
