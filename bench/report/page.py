"""The page itself: a template, one style sheet, a few scripts, all inside one file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.cache import write_atomically
from bench.errors import BenchError
from bench.plots.series import looks, panels
from bench.report.facts import Facts
from bench.report.figures import drawn
from bench.report.photosets import encoded, photosets
from bench.runs import Run, Store
from bench.selection import newest
from bench.tables.render import render
from bench.tables.results import results_sheets

PLOTS = ("fid-cf", "bars", "distributions", "pareto", "chroma", "hints", "reproduction")
_FOLDER = Path(__file__).parent / "web"
_THEME = ("theme.js",)  # before the first pixel
_SCRIPTS = ("elements.js", "comparison.js", "viewer.js", "gallery.js", "rows.js", "page.js")


def write_report(
    store: Store,
    runs: Sequence[Run],
    out: Path,
    title: str = "Colorization benchmark",
    thumbnails: int = 512,
    plots: Sequence[str] = PLOTS,
) -> Path:
    """Write one self-contained page about Runs. The same Runs give the same bytes.

    Args:
        store: that holds the Runs, for their numbers per photograph and their pictures.
        runs: what the page is about, in this order; of repetitions the newest (see ``bench.selection.select``).
        out: a folder for ``index.html``, or a file ending in ``.html``.
        title: heading of the page.
        thumbnails: longest side of a picture, in pixels; larger ones are scaled down.
        plots: which of ``bench.plots.KINDS``, in order; one that these Runs do not allow is left out with its reason.

    Returns:
        the file.

    Raises:
        BenchError: no Runs, another kind of file, a kept picture is damaged, or the file cannot be written.
    """
    if not runs:
        raise BenchError(
            "a report needs at least one Run. Measure something first: "
            "bench run --model ddcolor-mini --dataset samples."
        )
    if out.suffix.lower() in (".pdf", ".png", ".svg", ".md"):
        raise BenchError(f"{out}: the report is a page. Expected a folder, or a file ending in .html.")
    file = out if out.suffix.lower() in (".html", ".htm") else out / "index.html"
    page = _page(store, list(newest(runs).values()), title, thumbnails, plots)
    write_atomically(file, page.encode("utf-8", "backslashreplace"))
    return file


def _page(store: Store, runs: Sequence[Run], title: str, thumbnails: int, kinds: Sequence[str]) -> str:
    sets = photosets(store, runs)
    pictures = [encoded(each.photos, thumbnails) for each in sets]
    look = looks(runs)
    photographs = {run.folder: panel.title for panel in panels(runs) for run in panel.runs}
    theme, scripts, style = _source(*_THEME), _source(*_SCRIPTS), _source("page.css")
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        title=title,
        policy=_policy(theme, scripts, style),
        theme=theme,
        scripts=scripts,
        style=style,
        about=_about(runs),
        tables=[(sheet.title, render(sheet, "html")) for sheet in results_sheets(runs, efficiency=True)],
        plots=drawn(store, runs, kinds),
        sets=sets,
        index=[each.to_json() for each in sets],
        pictures=pictures,
        facts=Facts(runs, lambda run: look(run).label, lambda run: photographs[run.folder]),
    )


def _about(runs: Sequence[Run]) -> dict[str, Any]:
    """The figures under the heading."""
    datasets = [run.dataset for run in runs]
    end: datetime = max(run.environment.end for run in runs)
    return {
        "runs": len(runs),
        "models": len({run.model.name for run in runs}),
        "datasets": len({(each.name, each.split) for each in datasets}),
        "photographs": sum({each.digest: each.n for each in sorted(datasets, key=lambda each: each.n)}.values()),
        "protocols": list(dict.fromkeys(run.protocol.name for run in runs)),
        "date": end.date().isoformat(),
    }


def _source(*names: str) -> str:
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


def _policy(*sources: str) -> str:
    """Content security policy: nothing from elsewhere, and of what is in the page these three pieces alone act."""
    theme, scripts, style = (
        "'sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() + "'" for source in sources
    )
    return (
        f"default-src 'none'; script-src {theme} {scripts}; style-src {style}; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
