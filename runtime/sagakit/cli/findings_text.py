"""Findings of the doctor as text: for people, for Nagios and its kin, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sagakit.client.json_shapes import FindingLine

NAGIOS = {"ok": (0, "OK"), "warn": (1, "WARNING"), "bad": (2, "CRITICAL"), "unknown": (3, "UNKNOWN")}
"""Exit codes and words of Nagios' plugins."""
SCORES = {"ok": 0, "warn": 1, "bad": 2}
"""Values of the results in Prometheus; a skipped check has none."""


def worst_of(findings: Sequence[FindingLine]) -> str:
    """Return the worst result: bad, warn or ok."""
    found = {line.result for line in findings}
    return next((result for result in ("bad", "warn") if result in found), "ok")


def people_text(findings: Sequence[FindingLine]) -> str:
    """Return the findings for people, with the meaning and the advice of those that are not ok."""
    return "\n".join(_lines(findings))


def _lines(findings: Sequence[FindingLine]) -> Iterator[str]:
    for line in findings:
        yield f"{line.code}  {line.result:<7}  {line.check}: {line.found}"
        if line.means:
            yield f"       means  {line.means}"
            yield f"       to do  {line.advice}"
    counts = {result: sum(line.result == result for line in findings) for result in ("ok", "warn", "bad", "skipped")}
    yield ", ".join(f"{number} {result}" for result, number in counts.items() if number)


def nagios_text(findings: Sequence[FindingLine]) -> str:
    """Return the findings as a plugin of Nagios prints them: a line with its performance data, then the long text."""
    word = NAGIOS[worst_of(findings)][1]
    worst = [line for line in findings if line.result in ("warn", "bad")]
    said = "; ".join(f"{line.code} {line.found}" for line in worst) or f"{len(findings)} checks"
    measured = " ".join(f"{line.code}={line.value:.10g}" for line in findings if line.value is not None)
    # a | begins the performance data, so that the text must not have one
    first = f"SAGAKIT {word} - {said.replace('|', '/')} | {measured}"
    more = [f"{line.code} {line.result} {line.check}: {line.found.replace('|', '/')}" for line in findings]
    return "\n".join([first, *more])


def nagios_unknown(error: BaseException) -> str:
    """Return the line of a plugin that could not check anything."""
    return f"SAGAKIT UNKNOWN - {str(error).replace('|', '/')}"


def prometheus_text(findings: Sequence[FindingLine]) -> str:
    """Return the findings in Prometheus' text format, for the textfile collector of its node exporter."""
    results = [(line, SCORES[line.result]) for line in findings if line.result in SCORES]
    values = [(line, line.value) for line in findings if line.value is not None]
    return "\n".join(
        [
            "# HELP sagakit_doctor_result Result of a check: 0 is ok, 1 is warn, 2 is bad. A skipped check has none.",
            "# TYPE sagakit_doctor_result gauge",
            *(f"sagakit_doctor_result{_labels(line)} {score}" for line, score in results),
            "# HELP sagakit_doctor_value Number of a check: what it has counted or measured.",
            "# TYPE sagakit_doctor_value gauge",
            *(f"sagakit_doctor_value{_labels(line)} {value:.10g}" for line, value in values),
        ]
    )


def _labels(line: FindingLine) -> str:
    return f'{{code="{line.code}",check="{line.check}"}}'
