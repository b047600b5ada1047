"""`python -m sagakit`: the command `sagakit`."""

from __future__ import annotations

from sagakit.cli import run

if __name__ == "__main__":
    run()
