"""Random ids of 128 bits: unique, not secret. Their generator is seeded by the system, and again after a fork."""

from __future__ import annotations

import os
import random

_random = random.Random()

os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """Return a new id of 32 hex digits."""
    return f"{_random.getrandbits(128):032x}"
