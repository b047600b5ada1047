"""The modules of the engine that mutants patch, where a function of the package hides the module's name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

Patch: TypeAlias = pytest.MonkeyPatch
Mutant: TypeAlias = Callable[[Patch], None]
"""A function that breaks one rule of the engine for the length of a test."""

answers_module: Any = sys.modules["sagakit.engine.definition_answers"]
apply_module: Any = sys.modules["sagakit.engine.apply"]
effects_module: Any = sys.modules["sagakit.engine.effects"]
turn_module: Any = sys.modules["sagakit.engine.turn"]
