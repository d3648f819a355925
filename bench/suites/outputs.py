"""What is made of the Runs of a suite: tables, plots, the report, and a page that lists them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.cache import write_atomically
from bench.errors import BenchError
from bench.labels import dataset_label
from bench.plots import FROM_RUNS, draw, unasked
from bench.plots.style import save
from bench.report import write_report
from bench.runs import Run, Store
from bench.selection import by_protocol
from bench.suites.config import Suite
from bench.suites.run import Measured
from bench.tables.paper import paper_sheets
from bench.tables.render import render_file
from bench.tables.results import results_sheets
from bench.tables.sheet import Sheet

PLOT_FORMATS = (".png", ".svg")


@dataclass
class Made:
    """The files of a suite.

    Args:
        files: in the order in which they were made.
        left_out: what was not made, and why.
    """

    files: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def make_outputs(suite: Suite, measured: Measured, out: Path, command: str) -> Made:
    """Write everything that the suite asks for below ``out``: ``tables``, ``plots``, ``report`` and ``README.md``.

    What cannot be made of these Runs is left out, with the reason.

    Args:
        suite: what is asked for.
        measured: its Runs, which lie in ``out/runs``.
        out: folder of the suite.
        command: that makes all of it.
    """
    store, made = Store(out / "runs"), Made()
    groups = _by_protocol(measured.runs)
    for suffix, runs in groups.items():
        sheets = results_sheets(runs, suite.tables.metrics, efficiency=suite.tables.efficiency)
        _write_tables(suite, sheets, out / "tables" / f"results{suffix}", made)
    for paper in suite.tables.papers:
        _write_tables(suite, paper_sheets(measured.runs, paper), out / "tables" / f"paper-{paper}", made)
    for suffix, runs in groups.items():
        _draw_plots(suite, store, runs, out / "plots", suffix, made)
    if suite.report:
        made.files.append(write_report(store, measured.runs, out / "report", title=suite.title))
    readme = out / "README.md"
    write_atomically(readme, _readme(suite, measured, made, out, command).encode())
    made.files.append(readme)
    return made


def _by_protocol(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """What the names of files end with -> Runs of one protocol, to the hash."""
    groups = by_protocol(runs)
    if len(groups) == 1:
        return {"": groups[0]}
    names = [group[0].protocol.name for group in groups]
    return {
        f"-{name}" if names.count(name) == 1 else f"-{name}-{group[0].protocol.hash}": group
        for name, group in zip(names, groups, strict=True)
    }


def _write_tables(suite: Suite, sheets: Sequence[Sheet], stem: Path, made: Made) -> None:
    for form in suite.tables.formats:
        path = stem.with_name(f"{stem.name}.{form}")
        write_atomically(path, render_file(sheets, form).encode())
        made.files.append(path)


def _draw_plots(suite: Suite, store: Store, runs: Sequence[Run], folder: Path, suffix: str, made: Made) -> None:
    """Every kind; one that cannot be drawn any more leaves no old picture behind."""
    for kind in FROM_RUNS if suite.plots == "all" else suite.plots:
        for name, options in unasked(kind).items():
            paths = [folder / f"{name}{suffix}{form}" for form in PLOT_FORMATS]
            try:
                figure = draw(kind, store, runs, **options)
                made.files += [save(figure, path) for path in paths]
            except BenchError as error:
                made.left_out[f"plot {name}{suffix}"] = str(error)
                for path in paths:
                    path.unlink(missing_ok=True)


def _readme(suite: Suite, measured: Measured, made: Made, out: Path, command: str) -> str:
    sections = [f"# {_plain(suite.title)}", f"```bash\n{command}\n```", "## Measured", _counts(measured.runs)]
    if measured.failures:
        sections += ["## Not measured: an error", _list(measured.failures)]
    left_out = measured.left_out | made.left_out
    if left_out:
        sections += ["## Left out", _list(left_out)]
    sections += ["## Files", _links(made.files, out) + "\n- `runs/`: the records"]
    return "\n\n".join(sections) + "\n"


def _links(files: Sequence[Path], out: Path) -> str:
    """One line for each name, with its formats."""
    stems: dict[str, list[str]] = {}
    for path in files:
        link = path.relative_to(out)
        stems.setdefault(link.with_suffix("").as_posix(), []).append(f"[{link.suffix[1:]}]({link.as_posix()})")
    return "\n".join(f"- {stem}: {', '.join(links)}" for stem, links in stems.items())


def _counts(runs: Sequence[Run]) -> str:
    """One line for each dataset and protocol: which models."""
    models: dict[str, dict[str, None]] = {}
    for run in runs:
        label, protocol = dataset_label(run.dataset.name, run.dataset.split), run.protocol
        what = f"{label}, {run.dataset.n:,} photographs, protocol {protocol.name} ({protocol.hash})"
        models.setdefault(what, {})[run.model.name] = None
    return _list({what: ", ".join(names) for what, names in models.items()})


def _list(reasons: Mapping[str, str]) -> str:
    return "\n".join(f"- {_plain(title)}: {_plain(reason)}" for title, reason in reasons.items())


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", " ".join(text.split()))
