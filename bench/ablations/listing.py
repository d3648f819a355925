"""What ``bench ablate --dry-run`` shows."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from bench.ablations.config import Ablation, Member


def members_table(ablation: Ablation, members: Sequence[Member]) -> Table:
    """Every training, what makes it, and how far it is."""
    table = Table(title=escape(ablation.title), header_style="bold", box=None, pad_edge=False, title_justify="left")
    for column in ("variant", "seed", "changes", "steps", "state", "folder"):
        table.add_column(column)
    for member in members:
        values = ablation.variants[member.variant]
        changes = ", ".join(f"{key}={json.dumps(value)}" for key, value in values.items()) or "–"
        steps = f"{member.config.steps:,}"
        cells = (member.variant, str(member.seed), changes, steps, _state(member), str(member.folder))
        table.add_row(*map(escape, cells))
    measured = f"measured on {', '.join(ablation.datasets)}, protocol {ablation.protocol}"
    table.caption = escape(f"base {ablation.base}; {', '.join(ablation.set) or 'no changes'}; {measured}")
    table.caption_justify = "left"
    return table


def _state(member: Member) -> str:
    if member.trained:
        return "trained"
    steps = member.steps_done()
    return "not begun" if steps is None else f"at step {steps:,}"
