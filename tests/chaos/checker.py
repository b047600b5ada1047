"""Judge of a run, from the files that it left, without the engine: `python -m tests.chaos.checker FOLDER`.

The command prints the verdict as JSON: violations of the rules, and figures. Exit code 1 if there are any violations.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tests.chaos import figures, history
from tests.chaos.rules import Rule, Violation, calls, effects, ends, events, records, remote, spans

SHOWN = 50
"""Number of violations of each promise that the verdict lists one by one."""

RULES: dict[str, Rule] = {
    "a call is intended by a stored record (P1)": calls.intended,
    "an attempt is called once (P1)": calls.called_once,
    "the records keep the order (P2)": records.order,
    "the calls keep the order (P2)": calls.order,
    "a failed saga is undone, a completed one has each effect once (P4)": effects.remaining,
    "a key has one effect": effects.once_by_key,
    "participants work a key once (P3)": remote.worked_once,
    "participants' work is intended by a stored record (P1)": remote.intended,
    "a remote attempt outlives its worker (P3)": remote.outlives_its_worker,
    "a success that was told is in the record (P3)": remote.late_successes,
    "no two spans of one id differ": spans.alike,
    "spans of several workers are one trace": spans.joined,
    "an attempt's span begins as recorded": spans.as_recorded,
    "versions are one chain, an epoch has one owner (P7)": records.one_chain,
    "a started saga ends or is stuck (P8)": ends.nothing_lost,
    "a message is applied once (P8)": ends.messages_applied,
    "events come in order (P9)": events.in_order,
    "events are complete (P9)": events.complete,
    "events come after their record (P9)": events.durable_first,
    "an id has one run (P10)": records.one_run,
    "faults of servers spend nothing (P12)": ends.nothing_spent,
}


class Verdict(msgspec.Struct):
    """The verdict on a run. `broken` counts violations by promise; `violations` lists the first ones of each."""

    broken: dict[str, int]
    violations: list[Violation]
    figures: figures.Figures

    @property
    def condemned(self) -> bool:
        """True if there is evidence against the run."""
        return bool(self.broken)


def judge(found: history.History) -> list[Violation]:
    """Apply every rule."""
    return [violation for rule in RULES.values() for violation in rule(found)]


def check(folder: Path) -> Verdict:
    """Read and judge a run's folder."""
    found = history.load(folder)
    violations = judge(found)
    broken = Counter(violation.promise for violation in violations)
    return Verdict(dict(sorted(broken.items())), first_of_each(violations, SHOWN), figures.of(found))


def first_of_each(violations: Iterable[Violation], number: int) -> list[Violation]:
    """Return the first `number` violations of each promise, so that many of one promise do not hide those of others."""
    seen: Counter[str] = Counter()
    shown: list[Violation] = []
    for violation in violations:
        seen[violation.promise] += 1
        if seen[violation.promise] <= number:
            shown.append(violation)
    return shown


if __name__ == "__main__":
    verdict = check(Path(sys.argv[1]))
    assert not [name for name in sys.modules if name.partition(".")[0] in ("sagakit", "sagakit_actors")]
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(verdict)) + b"\n")
    sys.exit(1 if verdict.condemned else 0)
