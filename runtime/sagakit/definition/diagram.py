"""The Mermaid flowchart of a plan."""

from __future__ import annotations

from sagakit.definition.plan import Plan


def mermaid(plan: Plan) -> str:
    """Return a flowchart: solid lines for the order, dashed ones for compensations, a double circle for the pivot."""
    lines = ["flowchart TD", f"    %% {plan.saga_type} version {plan.version}"]
    for node in plan.nodes:
        label = f'{node.name}{{"{node.name}?"}}' if node.condition else f'{node.name}["{node.name}"]'
        lines.append(f'    {node.name}((("{node.name}")))' if node.position == "pivot" else f"    {label}")
    for node in plan.nodes:
        lines += [f"    {parent} --> {node.name}" for parent in node.after]
    for node in plan.nodes:
        if node.undo is not None:
            lines.append(f'    {node.name} -.-> undo_{node.name}(["undo {node.name}"])')
    undone = [f"undo_{node.name}" for node in plan.nodes if node.undo is not None]
    if undone:
        lines += ["    classDef undo stroke-dasharray: 4 4", f"    class {','.join(undone)} undo"]
    return "\n".join(lines) + "\n"
