"""The check of a plan: its shape may not change under the same version, since a record names its version alone."""

from __future__ import annotations

from collections.abc import Iterable

from sagakit.definition import Plan
from sagakit.errors import PlanChanged

_POSITIONS = {"before": "before the pivot", "pivot": "the pivot", "after": "after the pivot"}


def check_plan(plan: Plan, known: Iterable[Plan]) -> None:
    """Raise PlanChanged if a kept plan of the same type and version has another shape."""
    for other in known:
        same = (other.saga_type, other.version) == (plan.saga_type, plan.version)
        if same and other.digest != plan.digest:
            raise PlanChanged(
                f"{plan.saga_type} version {plan.version} has changed since it was first run here: "
                f"{'; '.join(differences(other, plan))}. Give the class version={plan.version + 1} and write its "
                f"migrate(), which takes the unfinished sagas of version {plan.version} over, or "
                "take the change back. (Timeouts, retries and code may change freely; order, names and types may not.)"
            )


def differences(old: Plan, new: Plan) -> list[str]:
    """Return the differences between the shapes of two plans, in words."""
    found: list[str] = []
    for what, before, now in (
        ("the input", old.input_type, new.input_type),
        ("the output", old.output_type, new.output_type),
    ):
        if before != now:
            found.append(f"{what} was {before}, is {now}")
    found += [f"the step {name} is gone" for name in old.by_name if name not in new.by_name]
    found += [f"the step {name} is new" for name in new.by_name if name not in old.by_name]
    for name in [name for name in old.by_name if name in new.by_name]:
        one, other = old.by_name[name], new.by_name[name]
        for what, before, now in (
            ("was of the kind", one.kind, other.kind),
            ("ran", one.child_type, other.child_type),
            ("came after", ", ".join(one.after) or "nothing", ", ".join(other.after) or "nothing"),
            ("took the results of", ", ".join(one.inputs) or "nothing", ", ".join(other.inputs) or "nothing"),
            ("was", _POSITIONS[one.position], _POSITIONS[other.position]),
            ("gave", one.result_type, other.result_type),
        ):
            if before != now:
                found.append(f"{name} {what} {before}, now {now}")
        if (one.undo is None) != (other.undo is None):
            found.append(f"{name} {'has no compensation any more' if other.undo is None else 'has a compensation now'}")
    return found or ["its steps are in another order"]
