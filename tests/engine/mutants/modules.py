"""The modules of the engine that mutants patch, where a function of the package hides the module's name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

import pytest

Patch: TypeAlias = pytest.MonkeyPatch
Mutant: TypeAlias = Callable[[Patch], None]
"""A function that breaks one rule of the engine for the length of a test."""

answers_module: Any = import_module("sagakit.engine.definition_answers")
apply_module: Any = import_module("sagakit.engine.apply")
carried_module: Any = import_module("sagakit.engine.carried")
effects_module: Any = import_module("sagakit.engine.effects")
turn_module: Any = import_module("sagakit.engine.turn")
