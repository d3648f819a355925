"""The page, made with Gradio."""

from __future__ import annotations

import contextlib
import html
import re
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from colorsys import hls_to_rgb
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from PIL import Image

from bench.demo.colouring import Photo, Studio
from bench.errors import BenchError, HintsError, ImageError
from bench.hints import Point, parse_hint

_AGE = 3600.0  # seconds after which the files of a visit may be deleted
_CHOSEN = 2  # models that are ticked at first
_GREEN = "#2e7d32"
_NUMBER = r"\s*(\d+(?:\.\d+)?)%?\s*"
_CSS_COLOUR = re.compile(rf"(rgb|hsl)a?\({_NUMBER},{_NUMBER},{_NUMBER}(?:,[^,()]*)?\)", re.ASCII)
STYLE = """
.gradio-container { width: 100% !important; max-width: 1400px !important; margin: 0 auto !important; }
#colour { border-width: 0; }
.warning { border-left: 4px solid #d97706; padding: 0.4rem 0.8rem; }
.results { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(320px, 100%), 1fr)); gap: 1.5rem 1rem; }
.results figure { margin: 0; }
.results figcaption { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 0.8rem; margin-bottom: 0.4rem; }
.results span { opacity: 0.7; }
.results img { display: block; margin: 0; max-width: 100%; max-height: 85vh; }
"""

Updates = dict[Any, Any]


def theme() -> gr.themes.Base:
    """Fonts of the reader's own system: none are fetched."""
    return gr.themes.Default(
        primary_hue="indigo",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "monospace"],
    )


def build_page(studio: Studio, folder: Path) -> gr.Blocks:
    """The whole page.

    Args:
        studio: its models.
        folder: where all files go; whoever made it removes it.
    """
    return _Page(studio, folder).blocks


class _Page:
    """Components, and what happens between them."""

    def __init__(self, studio: Studio, folder: Path) -> None:
        self.studio, self.folder = studio, folder
        names = list(studio.cards)
        chosen = names[:_CHOSEN]
        with gr.Blocks(title="Colour a photograph", analytics_enabled=False) as blocks:
            gr.HTML(_heading(studio.untrained))
            self.photo = gr.State(None)
            with gr.Row():
                with gr.Column(scale=3, min_width=320):
                    self.canvas = gr.Image(
                        label="Photograph", sources=["upload", "clipboard"], type="filepath", image_mode=None,
                        format="png", height=460, buttons=["fullscreen"], elem_id="photo",
                        placeholder="Drop a photograph here, paste it, or click to choose one",
                    )  # fmt: skip
                with gr.Column(scale=2, min_width=320):
                    self.models = gr.CheckboxGroup(names, value=chosen, label="Models", elem_id="models")
                    self._controls(chosen)
                    self.start = gr.Button("Colour", variant="primary", elem_id="start")
                    if studio.absent:
                        with gr.Accordion(f"{len(studio.absent)} models whose weights are not here", open=False):
                            gr.HTML(_absent(studio.absent))
            self.status = gr.Markdown(elem_id="status")
            self.results = gr.HTML(elem_id="results")
            self._events()
        self.blocks = blocks

    def _controls(self, chosen: Sequence[str]) -> None:
        """What some models can be told."""
        with gr.Group(visible=self._any("hints", chosen)) as self.hint_controls:
            self.colour = gr.ColorPicker(
                _GREEN, label="Colour of the next hint", info="Click on the photograph to place it.", elem_id="colour"
            )
            self.hints = gr.Dropdown(
                [], value=[], multiselect=True, allow_custom_value=True, label="Hints", elem_id="hints",
                info="x,y,#RRGGBB in pixels of the photograph. The cross removes one.",
            )  # fmt: skip
        with gr.Group(visible=self._any("stochastic", chosen)) as self.sampling_controls, gr.Row():
            self.seed = gr.Number(0, precision=0, minimum=0, label="Seed", info="Another seed, other colours.")
            self.steps = gr.Number(0, precision=0, minimum=0, label="Steps", info="0: as many as usual.")

    def _any(self, ability: str, names: Sequence[str]) -> bool:
        return any(getattr(self.studio.cards[name], ability) for name in names)

    def _events(self) -> None:
        opened = [self.photo, self.canvas, self.hints, self.results]
        # The file as it was dropped, not as gradio decodes it: bench.images reads more kinds, and says what is wrong.
        self.canvas.upload(self._open, self.canvas, opened, preprocess=False, show_progress="minimal")
        self.canvas.clear(lambda: self._opened(None), None, opened)
        self.canvas.select(self._place, [self.photo, self.models, self.colour, self.hints], [self.hints, self.canvas])
        self.hints.input(self._redraw, [self.photo, self.hints], self.canvas, show_progress="hidden")
        self.models.change(self._abilities, self.models, [self.hint_controls, self.sampling_controls])
        inputs = [self.photo, self.models, self.hints, self.seed, self.steps]
        self.start.click(self._colour, inputs, [self.start, self.status, self.results], show_progress="hidden")

    def _open(self, dropped: dict[str, Any] | None) -> Updates:
        """``dropped``: gradio's record of an uploaded file, which it has checked to be one."""
        sweep(self.folder)
        if dropped is None:
            return self._opened(None)
        file = Path(dropped["path"])
        try:
            return self._opened(Photo.read(file, dropped.get("orig_name") or file.name))
        except ImageError as error:
            _warn(str(error))
            return self._opened(None)

    def _opened(self, photo: Photo | None) -> Updates:
        return {
            self.photo: photo,
            self.canvas: photo.shown if photo else None,
            self.hints: gr.Dropdown(choices=[], value=[]),
            self.results: "",
        }

    def _place(
        self, photo: Photo | None, models: list[str], colour: str, hints: list[str], click: gr.SelectData
    ) -> Updates:
        if photo is None or not self._any("hints", models):
            return {}
        x, y = photo.pixel(*click.index)
        try:
            hints = list(dict.fromkeys([*hints, f"{x},{y},{hex_colour(colour)}"]))
        except HintsError as error:
            _warn(str(error))
            return {}
        return {self.hints: gr.Dropdown(choices=hints, value=hints), self.canvas: photo.marked(_points(hints))}

    def _redraw(self, photo: Photo | None, hints: list[str]) -> Updates:
        return {} if photo is None else {self.canvas: photo.marked(_points(hints))}

    def _abilities(self, models: list[str]) -> tuple[gr.Group, gr.Group]:
        return gr.Group(visible=self._any("hints", models)), gr.Group(visible=self._any("stochastic", models))

    def _colour(
        self, photo: Photo | None, models: list[str], hints: list[str], seed: int | None, steps: int | None
    ) -> Iterator[Updates]:
        """One model after the other; each result is shown as soon as it is there."""
        if photo is None or not models:
            _warn("Choose a model first." if photo else "Drop a photograph first.")
            yield {self.status: ""}
            return
        points, figures = _points(hints), list[str]()
        for k, name in enumerate(models, start=1):
            yield {
                self.start: gr.Button(interactive=False),
                self.status: f"{html.escape(name)} is at work ({k} of {len(models)})",
                self.results: _grid(figures),
            }
            try:
                coloured = self.studio.colour(name, photo.image, points, seed or 0, steps or None)
            except (BenchError, RuntimeError, MemoryError) as error:  # out of memory, above all
                _warn(f"{name}: {str(error) or 'there is not enough memory for this photograph'}")
            else:
                figures.append(self._figure(photo, name, coloured))
        yield {self.start: gr.Button(interactive=True), self.status: "", self.results: _grid(figures)}

    def _figure(self, photo: Photo, name: str, coloured: Image.Image) -> str:
        """A picture with its caption and a way to keep it."""
        file = Path(tempfile.mkdtemp(dir=self.folder), f"{_plain(photo.name)}-{_plain(name)}.png")
        coloured.save(file)
        untrained = self.studio.untrained and self.studio.cards[name].trainable
        facts = [f"{coloured.width} × {coloured.height}", *(["untrained"] if untrained else [])]
        address, model = f"gradio_api/file={quote(str(file))}", html.escape(name)
        return (
            f"<figure><figcaption><b>{model}</b> <span>{', '.join(facts)}</span>"
            f'<a href="{address}" download="{file.name}">Download PNG</a></figcaption>'
            f'<a href="{address}" target="_blank"><img src="{address}" alt="coloured by {model}"></a></figure>'
        )


def _grid(figures: Sequence[str]) -> str:
    return f'<div class="results">{"".join(figures)}</div>' if figures else ""


def sweep(folder: Path, age: float = _AGE) -> None:
    """Remove what lies in ``folder`` for longer than ``age`` seconds: photographs of visitors who have left."""
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another visitor sweeps, too
            if time.time() - path.stat().st_mtime > age:
                shutil.rmtree(path, ignore_errors=True)


def hex_colour(text: str) -> str:
    """What a colour picker says in any of its modes, as ``#rrggbb``; how opaque it is does not count.

    Args:
        text: ``#2e7d32``, ``rgba(46.2, 125, 50, 1)`` or ``hsl(123, 46%, 34%)``.

    Raises:
        HintsError: it is none of these.
    """
    if found := re.fullmatch(r"#([0-9a-fA-F]{6})(?:[0-9a-fA-F]{2})?", text.strip()):
        return f"#{found[1].lower()}"
    if found := _CSS_COLOUR.fullmatch(text.strip()):
        first, second, third = (float(part) for part in found.groups()[1:])
        if found[1] == "rgb":
            channels = (first / 255, second / 255, third / 255)
        else:
            channels = hls_to_rgb(first / 360, min(third / 100, 1), min(second / 100, 1))
        return "#" + "".join(f"{min(round(255 * channel), 255):02x}" for channel in channels)
    raise HintsError(f"the colour {text!r} cannot be read. Expected one like #2e7d32.")


def _points(hints: Sequence[str]) -> list[Point]:
    """The hints that can be read; of others the visitor is told."""
    points = []
    for text in hints:
        try:
            points.append(parse_hint(text))
        except BenchError as error:
            _warn(str(error))
    return points


def _warn(text: str) -> None:
    gr.Warning(html.escape(text, quote=False))


def _plain(name: str) -> str:
    """Part of a file's name."""
    return re.sub(r"[^\w.+-]+", "_", name).strip("._")[:80] or "photo"


def _heading(untrained: bool) -> str:
    text = "<h1>Colour a photograph</h1><p>Everything happens on the machine that serves this page.</p>"
    if untrained:
        text += '<p class="warning">Untrained (random) weights: these colours mean nothing.</p>'
    return text


def _absent(reasons: dict[str, str]) -> str:
    alike: dict[str, list[str]] = defaultdict(list)
    for name, reason in reasons.items():
        alike[reason].append(name)
    return "".join(
        f"<p><b>{html.escape(', '.join(names))}</b><br>{html.escape(reason)}</p>" for reason, names in alike.items()
    )
