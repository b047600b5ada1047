"""The example of encryption runs as its page says."""

from __future__ import annotations

import subprocess
import sys


def test_a_key_is_rotated() -> None:
    done = subprocess.run([sys.executable, "-m", "examples.encryption"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:-1] == [
        "Ann: Completed(output='receipt for Ann')",
        "NATS has her card: False",
        "Bob: Completed(output='receipt for Bob')",
        "Ann's order again: Completed(output='receipt for Ann')",
        "ann is sealed with ['aes-gcm/2025']",
        "bob is sealed with ['aes-gcm/2026']",
        "Bob's order: Completed(output='receipt for Bob')",
    ]
    assert lines[-1].startswith("Ann without her key: sealed with aes-gcm/2025, ")
