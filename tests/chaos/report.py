"""A run's result as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tests.chaos.checker import first_of_each
from tests.chaos.run import Result

SHOWN = 10
"""Number of violations of each promise that are printed."""


def show(result: Result, console: Console) -> None:
    """Print the verdict: figures, times, and the evidence against the run."""
    found = result.verdict.figures
    table = Table("what", "count", title=f"chaos, seed {result.seed}, {result.took:g} s", title_justify="left")
    rows: dict[str, object] = {"sagas acknowledged": found.sagas, **found.ended}
    rows |= {f"failed: {cause}": count for cause, count in sorted(found.causes.items())}
    rows |= {f"fault: {kind}": count for kind, count in sorted(found.faults.items())}
    rows |= {
        "leader changes of the state stream": result.leader_changes,
        "workers that ended by themselves": result.came_back,
        "workers that did not end in good order": sum(code != 0 for code in result.exit_codes),
        "adoptions": found.adoptions,
        "writes refused (fenced)": result.fenced,
        "calls begun by a fenced worker": found.fenced_calls,
        "started by two": found.twice_started,
        "versions in the trail": found.versions,
        "versions missing": found.versions_missing,
        "events": found.events,
        "events published again": found.events_twice,
    }
    rows |= {f"calls: {result}": count for result, count in sorted(found.calls.items())}
    rows |= {f"remote: {what}": count for what, count in found.remote.items()}
    for what, count in rows.items():
        table.add_row(what, str(count))
    console.print(table)
    times = Table("fault", "what", "times", "median, s", "worst, s")
    for what, pauses in (
        ("nothing moved for", found.silent),
        ("first adopted after", found.adopted_first),
        ("last adopted after", found.adopted_last),
        ("back after the healing", found.back),
    ):
        for kind, pause in pauses.items():
            times.add_row(kind, what, str(pause.times), f"{pause.median:.2f}", f"{pause.worst:.2f}")
    console.print(times)
    for violation in first_of_each(result.verdict.violations, SHOWN):
        console.print(f"{violation.promise} {violation.key}: {violation.text}", style="red", markup=False)
    verdict = ", ".join(f"{name} {count} times" for name, count in result.verdict.broken.items())
    console.print(f"condemned: {verdict}" if verdict else "all promises held", style="red" if verdict else "green")
