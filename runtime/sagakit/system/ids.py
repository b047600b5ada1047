"""Random ids: unique, not secret. 128 bits of a generator of our own, seeded by the system, again after a fork."""

from __future__ import annotations

import os
import random

_random = random.Random()

os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """32 hex digits."""
    return f"{_random.getrandbits(128):032x}"
