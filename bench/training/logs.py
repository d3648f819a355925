"""What a person sees of a run: a progress bar, metrics.csv, TensorBoard, pictures. Only the first process has them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from bench.cache import write_atomically
from bench.color import gray_rgb, join, to_uint8
from bench.images import photo_from_tensor

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from bench.training.trainer import Outcome

_NAMED = 10  # skipped photographs that are named on the screen
_HEAD = ("step", "name", "value")


class Logs:
    """The logs of one run; a context manager.

    Args:
        folder: of the run.
        steps: of the whole run.
        start: step from which it goes on; what was logged after it is forgotten.
        tensorboard: write event files too.
        writes: whether this process writes anything: the first one.
        console: for the progress bar; None = none.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        start: int,
        tensorboard: bool,
        *,
        writes: bool = True,
        console: Console | None = None,
    ) -> None:
        self.folder, self.writes = folder, writes
        self.console = console if writes else None
        self._writer: SummaryWriter | None = None
        self._table = folder / "metrics.csv"
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(), TimeRemainingColumn(),
            console=self.console, disable=self.console is None,
        )  # fmt: skip
        self._task = self._progress.add_task("training", total=steps, completed=start, figures="")
        if writes:
            self._forget_after(start)
            if tensorboard:
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def __enter__(self) -> Logs:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        if self._writer is not None:
            self._writer.close()

    def _forget_after(self, start: int) -> None:
        kept = read_metrics(self._table) if self._table.is_file() else []
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_HEAD)
        writer.writerows(row for row in kept if row[0] <= start)
        write_atomically(self._table, text.getvalue().encode())

    def advance(self, step: int) -> None:
        self._progress.update(self._task, completed=step)

    def numbers(self, step: int, values: Mapping[str, float], shown: Mapping[str, float] | None = None) -> None:
        """Write ``values``; of them the bar shows those of ``shown``."""
        if not self.writes:
            return
        with self._table.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows((step, k, repr(float(v))) for k, v in values.items())
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
        if shown is not None:
            self._progress.update(self._task, figures=" ".join(f"{k} {v:.4g}" for k, v in shown.items()))

    def say(self, text: str) -> None:
        """A line above the bar."""
        if self.console is not None:
            self.console.print(text)

    def pictures(self, step: int, lightness: Tensor, prediction: Tensor, target: Tensor) -> None:
        """One row for each photograph: gray, prediction, original.

        Args:
            step: of the run.
            lightness: (B, 1, H, W) L*.
            prediction: (B, 2, H, W) ab.
            target: (B, 3, H, W) sRGB in [0, 1].
        """
        if not self.writes:
            return
        columns = (gray_rgb(lightness), join(lightness, prediction.float()), target)
        rows = torch.cat([to_uint8(c) for c in columns], dim=3)  # (B, 3, H, 3W)
        grid = torch.cat(list(rows), dim=1).cpu()
        path = self.folder / "pictures" / f"step-{step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        photo_from_tensor(grid).save(path)
        if self._writer is not None:
            self._writer.add_image("gray, prediction, original", grid, step)


def report(outcome: Outcome, console: Console) -> None:
    """What is left to say when a call of ``train`` has ended."""
    state = "finished" if outcome.finished else "stopped"
    console.print(
        f"{state} at step {outcome.step}: {outcome.images_per_second:.1f} images/s, "
        f"{100 * outcome.waiting:.1f} % of the time spent waiting for data. Run: {outcome.folder}"
    )
    if outcome.skipped:
        console.print(f"[yellow]{len(outcome.skipped)} photographs were not used:[/yellow]")
        for name, reason in sorted(outcome.skipped.items())[:_NAMED]:
            console.print(f"  {name}: {reason}", markup=False)
        path = outcome.folder / "skipped.csv"
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("name", "reason"), *sorted(outcome.skipped.items())])
        write_atomically(path, text.getvalue().encode())
        console.print(f"  all of them: {path}")
    if not outcome.finished:
        console.print("the same command with --resume continues.")


def read_metrics(path: Path) -> list[tuple[int, str, float]]:
    """The rows of a metrics.csv; a last line that was cut short by a kill is left out."""
    rows = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if len(row) == len(_HEAD) and row[0].isdigit():
                try:
                    rows.append((int(row[0]), row[1], float(row[2])))
                except ValueError:
                    continue
    return rows
