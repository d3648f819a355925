"""The Run, one record of what was measured, and the store that keeps them. A Run is never edited once written."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bench.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
RUNS = Path("results/runs")
Which = Literal["prediction", "target"]  # of the pictures that a Run keeps


class Record(BaseModel):
    """Frozen, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Estimate(Record):
    """One number with its 95 % interval; ``value`` is None where it could not be measured, and ``reason`` says why."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str | None = None


class ModelRecord(Record):
    """Which network with which weights.

    Args:
        sha256: of the file of weights, None where there is none.
        digest: of all that decides its colours, as ``bench.identity`` finds it.
    """

    name: str
    family: str
    parameters: int | None
    macs: int | None = None
    working_size: int | None = None
    weights: str
    source: str
    file: str | None = None
    sha256: str | None = None
    digest: str | None = None
    options: dict[str, Any] = {}


class DatasetRecord(Record):
    """Which photographs.

    Args:
        complete: whether exactly the photographs of the split were there.
        strays: how many of them the split does not have (see ``bench.datasets.imagenet``).
        gray: how many have no colour; None without a reference.
    """

    name: str
    split: str
    n: int
    expected: int | None = None
    complete: bool
    strays: int = 0
    digest: str
    gray: int | None = None


class ProtocolRecord(Record):
    name: str
    hash: str
    definition: dict[str, Any]


class Speed(Record):
    """How fast, on the device in ``environment``: throughput of the whole pass, latency of one photo, peak memory."""

    images_per_second: float | None
    latency_ms: float | None
    peak_memory_mb: float | None
    batch_size: int
    processes: int


class Failure(Record):
    name: str
    reason: str


class Environment(Record):
    """What it ran on and with."""

    code_version: str
    commit: str | None
    dirty: bool | None
    code_digest: str
    libraries: dict[str, str]
    device: dict[str, Any]
    precision: str
    command: str
    start: datetime
    end: datetime


class Run(Record):
    """One model measured on one dataset under one protocol.

    Args:
        metrics: number -> what was measured, or why it was not.
        originals: the numbers that the originals have themselves, such as ``cf``.
        hints: colours per photograph that the model was given.
        colourings: of each photograph.
    """

    schema_version: int = SCHEMA_VERSION
    key: str
    complete: bool
    model: ModelRecord
    dataset: DatasetRecord
    protocol: ProtocolRecord
    metrics: dict[str, Estimate]
    originals: dict[str, Estimate] = {}
    speed: Speed
    failures: tuple[Failure, ...] = ()
    seed: int
    hints: int = 0
    colourings: int = 1
    environment: Environment

    @property
    def folder(self) -> Path:
        """Where it lies within a store."""
        return folder_of(self.dataset.name, self.dataset.split, self.model.name, self.protocol.name, self.key)


def folder_of(dataset: str, split: str, model: str, protocol: str, key: str) -> Path:
    """dataset-split/model/protocol-key, with anything that is no plain character replaced."""
    parts = (f"{dataset}-{split}", model, f"{protocol}-{key}")
    return Path(*(re.sub(r"[^\w.+-]+", "_", part).strip("._") or "_" for part in parts))


def sample_name(index: int, which: Which) -> str:
    """The file of a kept picture, e.g. ``000012.prediction.png``."""
    return f"{index:06d}.{which}.png"


class Store:
    """A folder of Runs: ``result.json`` (the Run), ``per_image.parquet`` and ``samples/`` for each."""

    def __init__(self, root: Path | str = RUNS) -> None:
        self.root = Path(root)

    def load(self, folder: Path) -> Run | None:
        """The Run in a folder, or None if there is none.

        Raises:
            BenchError: ``result.json`` is damaged or of another schema.
        """
        path = self.root / folder / "result.json"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return Run.model_validate_json(text)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise BenchError(
                f"{path} is no Run of schema {SCHEMA_VERSION} ({error.errors()[0]['msg']} at {where or 'its top'}). "
                "Delete its folder and measure again."
            ) from error

    def write(self, run: Run, rows: pd.DataFrame, samples: Path | None = None) -> Path:
        """Put a Run into the store in one step: readers see all of it or nothing.

        Args:
            run: the record.
            rows: one row per image, with its ``name`` and every per-image value.
            samples: folder of pictures to move into the Run.
        """
        final = self.root / run.folder
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=".writing-") as temporary:
            new = Path(temporary) / "run"
            new.mkdir()
            rows.to_parquet(new / "per_image.parquet", index=False)
            if samples is not None and samples.is_dir():
                shutil.move(samples, new / "samples")
            (new / "result.json").write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")
            if final.exists():
                final.replace(Path(temporary) / "old")
            new.replace(final)
        return final

    def rows(self, run: Run) -> pd.DataFrame:
        """The values of a Run's photographs; see ``per_image``."""
        return per_image(self.root / run.folder)

    def picture(self, run: Run, index: int, which: Which) -> Path:
        """Where the prediction for a photograph, or its original, lies if it was kept."""
        return self.root / run.folder / "samples" / sample_name(index, which)

    def __iter__(self) -> Iterator[Run]:
        """Every Run, in the order of their folders."""
        for path in sorted(self.root.glob("*/*/*/result.json")):
            run = self.load(path.parent.relative_to(self.root))
            if run is not None:
                yield run


def per_image(folder: Path) -> pd.DataFrame:
    """The values of the photographs of the Run in a folder: one row each, with its ``index`` and ``name``.

    Raises:
        BenchError: the table is missing or damaged.
    """
    import pandas as pd

    path = folder / "per_image.parquet"
    if not path.is_file():
        raise BenchError(
            f"{path}, which holds the values of each photograph, is not here; records that come with the package have "
            "none. Measure it yourself: bench run --model NAME --dataset NAME."
        )
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise BenchError(
            f"{path}, which holds the values of each photograph, is damaged ({error}). Measure again with --no-resume."
        ) from error


def to_json(runs: list[Run]) -> str:
    """What ``bench run --json`` prints."""
    return json.dumps([run.model_dump(mode="json") for run in runs], indent=2)
