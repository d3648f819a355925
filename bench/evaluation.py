"""The one streaming pass: decode -> protocol -> device -> L* -> model -> RGB -> every metric -> rows -> a Run."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bench.color import join, rgb_to_lab, to_uint8
from bench.colorizer import Colorizer, Hints, predict_chroma
from bench.datasets import Dataset, open_dataset
from bench.efficiency import cost, peak_memory_mb
from bench.environment import code_version, device_facts, library_versions
from bench.errors import DatasetError
from bench.hints import dense_hints, draw_hints
from bench.identity import identify
from bench.images import photo_from_tensor
from bench.loading import load_model
from bench.metrics import Metric, build_metrics
from bench.metrics.base import DistributionMetric, ImageMetric
from bench.parts import Part, Parts, merge_rows
from bench.processes import Precision, connect
from bench.protocol import Protocol, load_protocol
from bench.reference import ReferenceStatistics
from bench.runs import (
    RUNS,
    DatasetRecord,
    Environment,
    Estimate,
    Failure,
    ProtocolRecord,
    Run,
    Speed,
    Store,
    folder_of,
)
from bench.statistics import bootstrap_means, interval
from bench.testcases import Batch, TestCases, default_workers, loader

if TYPE_CHECKING:
    import pandas as pd
    from lightning_fabric import Fabric

Progress = Callable[[int, int], None]
"""Called with (photographs done, photographs in all)."""


@dataclass(frozen=True)
class Settings:
    """How to measure; none of it may change what the numbers are, but for ``precision`` and ``hints``.

    Args:
        batch_size: photographs per forward pass.
        workers: processes that decode; None = as many as pay.
        precision: fp32, or bf16 / fp16 autocast for the model (never for the metrics).
        hints: colours per photograph that are drawn from the original and given to the model.
        resume: continue an unfinished run and reuse a finished one of the same key.
        strict: stop at the first photograph that cannot be read.
        samples: pictures to keep, spread evenly over the dataset.
        checkpoint_seconds: time between two checkpoints.
        command: what the user typed, for the record.
    """

    batch_size: int = 16
    workers: int | None = None
    precision: Precision = "fp32"
    hints: int = 0
    resume: bool = True
    strict: bool = False
    samples: int = 6
    checkpoint_seconds: float = 30.0
    command: str = field(default_factory=lambda: " ".join(sys.argv))


def evaluate(
    model: str | Colorizer,
    dataset: str | Dataset,
    protocol: str | Protocol = "paper",
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    store: Path | str = RUNS,
    settings: Settings | None = None,
    on_progress: Progress | None = None,
) -> Run:
    """Measure one model on one dataset and write the Run.

    Args:
        model: a registered name, ``path/to/file.py:ClassName``, or a loaded Colorizer.
        dataset: a name (``coco``, ``imagenet/val50k``, ``folder:PATH``) or an opened Dataset.
        protocol: a name, the path of a YAML file, or a Protocol.
        weights: see ``load_model``; only for a model given by name.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; default: the best there is.
        store: folder that keeps the Runs.
        settings: how to measure.
        on_progress: told after every batch.

    Returns:
        The Run, as written to the store (in every process).

    Raises:
        BenchError: anything the user can mend, in a sentence.
    """
    settings = settings or Settings()
    fabric = connect(device, settings.precision)
    if isinstance(model, str):
        model = load_model(model, weights, device=str(fabric.device))
    if isinstance(dataset, str):
        dataset = open_dataset(dataset)
    if isinstance(protocol, str):
        protocol = load_protocol(protocol)
    job = _Job(model.to(fabric.device).eval(), dataset, protocol, Store(store), settings, fabric)
    finished = job.store.load(job.folder) if settings.resume else None
    if finished is not None and finished.complete:
        return finished
    return job.run(on_progress)


class _Job:
    """One model on one dataset under one protocol, in one of the processes of a run."""

    def __init__(
        self, model: Colorizer, dataset: Dataset, protocol: Protocol, store: Store, settings: Settings, fabric: Fabric
    ) -> None:
        self.model, self.dataset, self.protocol = model, dataset, protocol
        self.store, self.settings, self.fabric = store, settings, fabric
        self.started = datetime.now(UTC)
        self.metrics, self.absent = build_metrics(protocol.metrics, fabric.device, dataset.has_reference)
        self.preprocessing = protocol.for_dataset(dataset.name, dataset.split)
        self.code = code_version()
        self.reference = ReferenceStatistics(
            {
                "dataset": dataset.digest(),
                "preprocessing": self.preprocessing.model_dump_json(),
                "code": self.code.digest,
                "device": fabric.device.type,
            }
        )
        self.reference.give(self.metrics)
        self.identity = identify(model)
        self.key = self._key()
        self.folder = folder_of(dataset.name, dataset.split, self.identity.name, protocol.name, self.key)
        self.parts = Parts(store.root / self.folder.with_name(self.folder.name + ".partial"))

    def _key(self) -> str:
        """Digest of all that decides the numbers; Runs and checkpoints of another key are never used."""
        facts = {
            "model": self.identity.name,
            "options": self.identity.record.options,
            "weights": self.identity.digest,
            "source": self.identity.source,
            "dataset": self.dataset.digest(),
            "protocol": self.protocol.hash,
            "absent": sorted(self.absent),
            "code": self.code.digest,
            "device": self.fabric.device.type,
            "precision": self.settings.precision,
            "hints": self.settings.hints,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:10]

    def run(self, on_progress: Progress | None) -> Run:
        """Measure what is missing, merge, write."""
        if self.fabric.is_global_zero and not (self.settings.resume and self._parts_suffice()):
            self.parts.clear()
        self.fabric.barrier()
        self.parts.folder.mkdir(parents=True, exist_ok=True)
        done = self.parts.done()
        self.fabric.barrier()  # nobody writes a part before everybody has read what is done
        missing = [i for i in range(len(self.dataset)) if i not in done]
        self._stream(missing[self.fabric.global_rank :: self.fabric.world_size], len(done), on_progress)
        self.fabric.barrier()
        if self.fabric.is_global_zero:
            self._finish()
        self.fabric.barrier()
        run = self.store.load(self.folder)
        if run is None:
            raise DatasetError(
                f"process {self.fabric.global_rank} finds no result in {self.store.root / self.folder}: "
                "all processes must see the same --out folder (a shared file system)."
            )
        return run

    def _parts_suffice(self) -> bool:
        """False if parts rely on reference statistics that have since left the cache."""
        needed = {type(m).__name__: set(m.state_tensors()) for m in self.metrics if isinstance(m, DistributionMetric)}
        return all(needed[name] <= set(states) for p in self.parts.load() for name, states in p.states.items())

    @torch.inference_mode()
    def _stream(self, indices: Sequence[int], before: int, on_progress: Progress | None) -> None:
        settings, device, world = self.settings, self.fabric.device, self.fabric.world_size
        workers = default_workers(len(indices)) if settings.workers is None else settings.workers
        cases = TestCases(self.dataset, self.preprocessing, indices)
        kept = set(np.linspace(0, len(self.dataset) - 1, settings.samples).astype(int)) if settings.samples else set()
        recorder = _Recorder(self.metrics, self.parts)
        saved = time.monotonic()
        for batch in loader(cases, settings.batch_size, workers, pin=device.type == "cuda"):
            self._refuse_failures(batch)
            prediction = None
            if batch.indices:
                target = batch.target.to(device, non_blocking=True)
                prediction = self._colour(target, batch.indices)
                recorder.add(batch.indices, prediction, target if self.dataset.has_reference else None)
                self._keep_samples(kept, batch, prediction)
            recorder.part.failures += batch.failures
            if time.monotonic() - saved > settings.checkpoint_seconds:
                recorder.save()
                saved = time.monotonic()
            if on_progress is not None:
                seen = min(before + recorder.images * world, len(self.dataset))
                on_progress(seen, len(self.dataset))
        recorder.save()

    def _refuse_failures(self, batch: Batch) -> None:
        if self.settings.strict and batch.failures:
            index, reason = batch.failures[0]
            raise DatasetError(f"{self.dataset.names[index]} cannot be measured (--strict): {reason}")

    def _colour(self, target: Tensor, indices: Sequence[int]) -> Tensor:
        """(B, 3, S, S) uint8 originals -> (B, 3, S, S) uint8 predictions, from their lightness alone (and hints)."""
        lab = rgb_to_lab(target)
        lightness, ab = lab[:, :1], lab[:, 1:]
        seeds = [_seed(self.protocol.seed, self.dataset.names[i]) for i in indices]
        hints: Hints | None = None
        if self.model.needs_target:
            hints = dense_hints(ab)
        elif self.settings.hints:
            hints = draw_hints(ab, self.settings.hints, [torch.Generator().manual_seed(s) for s in seeds])
        generators = [torch.Generator(target.device).manual_seed(s) for s in seeds] if self.model.stochastic else None
        with self.fabric.autocast():
            predicted = predict_chroma(self.model, lightness, hints, generators)
        return to_uint8(join(lightness, predicted))

    def _keep_samples(self, kept: set[int], batch: Batch, prediction: Tensor) -> None:
        folder = self.parts.folder / "samples"
        for place, index in enumerate(batch.indices):
            if index in kept:
                folder.mkdir(exist_ok=True)
                photo_from_tensor(prediction[place].cpu()).save(folder / f"{index:06d}.prediction.png")
                photo_from_tensor(batch.target[place]).save(folder / f"{index:06d}.target.png")

    def _finish(self) -> None:
        parts = self.parts.load()
        rows = merge_rows(parts)
        n = len(rows.get("index", ()))
        if n == 0:
            raise DatasetError(
                f"none of the {len(self.dataset)} photographs of {self.dataset.name} could be read; "
                f"the first: {next((reason for part in parts for _, reason in part.failures), 'no reason given')}"
            )
        table = self._table(rows)
        run = self._record(parts, rows, self._numbers(parts, rows))
        if run.complete:
            self.reference.keep(self.metrics)
        self.store.write(run, table, self.parts.folder / "samples")
        self.parts.clear()

    def _table(self, rows: Mapping[str, Tensor]) -> pd.DataFrame:
        import pandas as pd

        columns = {c: v.numpy() for c, v in rows.items() if c != "index"}
        names = [self.dataset.names[i] for i in rows["index"].tolist()]
        return pd.DataFrame({"index": rows["index"].numpy(), "name": names, **dict(sorted(columns.items()))})

    def _numbers(self, parts: Sequence[Part], rows: Mapping[str, Tensor]) -> dict[str, Estimate]:
        """Every number of the protocol: from the rows where it has one value per image, else from the merged states."""
        n = len(rows["index"])
        found: dict[str, Estimate] = {}
        replicates = _replicates(self.metrics, rows, self.protocol.seed)
        for metric in self.metrics:
            if isinstance(metric, ImageMetric):
                values = metric.reduce({c: rows[c].mean().item() for c in metric.columns})
                spread = metric.reduce({c: replicates[c] for c in metric.columns})
                for name, value in values.items():
                    low, high = interval(spread[name])
                    found[name] = Estimate(value=float(value), low=low, high=high, n=n)
            else:
                metric.reset()
                for part in parts:
                    metric.merge_tensors(part.states.get(type(metric).__name__, {}))
                found |= {name: Estimate(value=float(v), n=n) for name, v in metric.compute().items()}
        found |= {name: Estimate(reason=reason) for name, reason in self.absent.items()}
        return {name: found[name] for name in self.protocol.metrics}

    def _record(self, parts: Sequence[Part], rows: Mapping[str, Tensor], numbers: dict[str, Estimate]) -> Run:
        n = len(rows["index"])
        measured = set(rows["index"].tolist())
        reasons = {i: reason for part in parts for i, reason in part.failures if i not in measured}
        device = self.fabric.device
        macs, latency = cost(self.model, device, self.preprocessing.size)
        slowest = max((part.seconds for part in parts if part.images), default=0.0)
        return Run(
            key=self.key,
            complete=n == len(self.dataset),
            model=self.identity.record.model_copy(update={"macs": macs}),
            dataset=DatasetRecord(
                name=self.dataset.name,
                split=self.dataset.split,
                n=n,
                expected=self.dataset.expected,
                complete=self.dataset.complete,
                digest=self.dataset.digest(),
                gray=int(rows["gray"].sum()) if "gray" in rows else None,
            ),
            protocol=ProtocolRecord(
                name=self.protocol.name, hash=self.protocol.hash, definition=self.protocol.model_dump(mode="json")
            ),
            metrics=numbers,
            speed=Speed(
                images_per_second=sum(p.images for p in parts) / slowest if slowest else None,
                latency_ms=latency,
                peak_memory_mb=peak_memory_mb(device),
                batch_size=self.settings.batch_size,
                processes=self.fabric.world_size,
            ),
            failures=tuple(Failure(name=self.dataset.names[i], reason=reasons[i]) for i in sorted(reasons)),
            seed=self.protocol.seed,
            hints=self.settings.hints,
            environment=self._environment(),
        )

    def _environment(self) -> Environment:
        return Environment(
            code_version=self.code.version,
            commit=self.code.commit,
            dirty=self.code.dirty,
            code_digest=self.code.digest,
            libraries=library_versions(),
            device=dict(device_facts(self.fabric.device)),
            precision=self.settings.precision,
            command=self.settings.command,
            start=self.started,
            end=datetime.now(UTC),
        )


class _Recorder:
    """Collects what one process measures; the device is asked for values only at a checkpoint."""

    def __init__(self, metrics: Sequence[Metric], parts: Parts) -> None:
        self.metrics, self.parts, self.part = metrics, parts, Part()
        self.images = 0
        self._waiting: list[dict[str, Tensor]] = []
        self._begun = time.monotonic()

    def add(self, indices: Sequence[int], prediction: Tensor, target: Tensor | None) -> None:
        columns: dict[str, Tensor] = {"index": torch.tensor(indices)}
        if target is not None:
            spread = target.amax(dim=1).int() - target.amin(dim=1).int()
            columns["gray"] = (spread.flatten(1).amax(dim=1) == 0).double()
        for metric in self.metrics:
            if isinstance(metric, ImageMetric):
                columns |= metric.measure(prediction, target)
            else:
                metric.update(prediction, target)
        self._waiting.append(columns)
        self.images += len(indices)

    def save(self) -> None:
        """Write rows and states together, so that they never disagree."""
        if self._waiting:
            self.part.extend({c: torch.cat([w[c] for w in self._waiting]).cpu() for c in self._waiting[0]})
            self._waiting = []
        self.part.states = {
            type(m).__name__: m.state_tensors() for m in self.metrics if isinstance(m, DistributionMetric)
        }
        self.part.images, self.part.seconds = self.images, time.monotonic() - self._begun
        self.parts.save(self.part)


def _replicates(metrics: Sequence[Metric], rows: Mapping[str, Tensor], seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Bootstrap means of every per-image column, from the same resamples (so that differences stay paired)."""
    columns = sorted({c for m in metrics if isinstance(m, ImageMetric) for c in m.columns})
    if not columns:
        return {}
    means = bootstrap_means(np.stack([rows[c].numpy() for c in columns], axis=1), seed=seed)
    return {column: means[:, i] for i, column in enumerate(columns)}


def _seed(seed: int, name: str) -> int:
    """Of one photograph: the same whatever the batch size, the order or the number of processes."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "little")
