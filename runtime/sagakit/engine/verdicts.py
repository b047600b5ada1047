"""What may become of a message from outside."""

from __future__ import annotations

from typing import Literal

VerdictText = Literal[
    "accepted", "waiting", "late", "already", "too late", "ended", "nothing to do", "unknown", "too large"
]
"""`waiting`: kept until the pivot's outcome is known, or until an operator lets the saga go on. `late`: of a step that
was given up; recorded. `unknown`: there is no such node, or it has not begun."""
