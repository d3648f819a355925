"""The one streaming pass: decode -> protocol -> device -> L* -> model -> RGB -> every metric -> rows -> a Run."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from bench.cache import cache_dir
from bench.color import join, rgb_to_lab, to_uint8
from bench.colorizer import Colorizer, Hints, predict_chroma
from bench.datasets import Dataset, open_dataset
from bench.efficiency import latency_ms, multiply_accumulates, peak_memory_mb, reset_peak_memory
from bench.environment import code_version, device_facts, library_versions
from bench.errors import BenchError, ConfigError, DatasetError, WeightsError
from bench.hints import dense_hints, draw_hints
from bench.identity import identify, identify_images
from bench.images import photo_from_tensor
from bench.loading import load_model
from bench.metrics import build_metrics
from bench.metrics.base import DistributionMetric
from bench.metrics.diversity import Diversity
from bench.parts import Part, Parts, Recorder, merge_rows
from bench.predictions import Predictions
from bench.processes import connect
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
    sample_name,
)
from bench.settings import Settings, check_abilities
from bench.stopping import Interrupted, StopRequest
from bench.summary import row_table, summarise, summarise_originals
from bench.testcases import Batch, TestCases, default_workers, loader

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Progress = Callable[[int, int], None]
"""Called with (photographs done, photographs in all)."""


def evaluate(
    model: str | Colorizer | Predictions,
    dataset: str | Dataset,
    protocol: str | Protocol = "paper",
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    store: Path | str = RUNS,
    settings: Settings | None = None,
    on_progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Run:
    """Measure one model on one dataset and write the Run.

    Args:
        model: a registered name, ``path/to/file.py:ClassName``, a loaded Colorizer, or the Predictions of a system
            that ran elsewhere.
        dataset: a name (``coco``, ``imagenet/val50k``, ``folder:PATH``) or an opened Dataset.
        protocol: a name, the path of a YAML file, or a Protocol.
        weights: see ``load_model``; only for a model given by name.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; default: the best there is.
        store: folder that keeps the Runs.
        settings: how to measure.
        on_progress: told after every batch.
        stop: of whoever watches for signals already; None = watch for SIGTERM and Ctrl-C here.

    Returns:
        The Run, as written to the store (in every process).

    Raises:
        BenchError: anything the user can mend, in a sentence.
        Interrupted: somebody asked to stop, and what was measured is saved.
    """
    settings = settings or Settings()
    fabric = connect(device, settings.precision)
    if isinstance(model, str):
        model = load_model(model, weights, device=str(fabric.device))
    if isinstance(dataset, str):
        dataset = open_dataset(dataset)
    if isinstance(protocol, str):
        protocol = load_protocol(protocol)
    if isinstance(model, Colorizer):
        model = model.to(fabric.device).eval()
        name = type(model).__name__
        check_abilities(name, model.accepts_hints, model.stochastic, settings.hints, settings.colourings)
    job = _Job(model, dataset, protocol, Store(store), settings, fabric)
    if fabric.broadcast(settings.resume and job.store.load(job.folder) is not None):
        return job.result()
    with job.lock():
        return job.run(on_progress, stop)


class _Job:
    """One model on one dataset under one protocol, in one of the processes of a run."""

    def __init__(
        self,
        subject: Colorizer | Predictions,
        dataset: Dataset,
        protocol: Protocol,
        store: Store,
        settings: Settings,
        fabric: Fabric,
    ) -> None:
        self.model = subject if isinstance(subject, Colorizer) else None
        self.predictions = subject.matched(dataset) if isinstance(subject, Predictions) else None
        if not dataset.has_reference and (settings.hints or (self.model is not None and self.model.needs_target)):
            raise ConfigError(f"{dataset.key} has no colour reference, so no hints can be drawn from it.")
        self.dataset, self.protocol = dataset, protocol
        self.store, self.settings, self.fabric = store, settings, fabric
        self.started = datetime.now(UTC)
        self.metrics, self.absent = build_metrics(protocol.metrics, fabric.device, dataset.has_reference)
        self.set_metrics = [Diversity()] if settings.colourings > 1 else []
        for name in (name for metric in self.set_metrics for name in metric.numbers):
            self.absent.pop(name, None)
        self.numbers = [*protocol.metrics, *(name for metric in self.set_metrics for name in metric.numbers)]
        self.preprocessing = protocol.for_dataset(dataset.name, dataset.split)
        self.code, self.libraries = code_version(), library_versions()
        self.reference = ReferenceStatistics(
            {
                "dataset": dataset.digest(),
                "preprocessing": self.preprocessing.model_dump_json(),
                "code": self.code.digest,
                "libraries": self.libraries,
                "device": fabric.device.type,
            },
            len(dataset),
        )
        self.identity = (
            identify(subject) if isinstance(subject, Colorizer) else identify_images(subject, self.predictions or {})
        )
        # Caches and weights may differ from node to node: what the first process has is what counts.
        self.key, absent, known = fabric.broadcast((self._key(), self.absent, self.reference.read(self.metrics)))
        if absent.keys() != self.absent.keys():
            raise WeightsError(
                f"process {fabric.global_rank} lacks weights that the first process has, or has more of them: "
                f"{', '.join(sorted(absent.keys() ^ self.absent.keys()))}. Every node needs the same files."
            )
        self.reference.give(self.metrics, known)
        self.folder = folder_of(dataset.name, dataset.split, self.identity.name, protocol.name, self.key)
        self.kept = set(np.linspace(0, len(dataset) - 1, settings.samples).astype(int)) if settings.samples else set()
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
            "libraries": self.libraries,
            "device": self.fabric.device.type,
            "precision": self.settings.precision,
            "hints": self.settings.hints,
            "colourings": self.settings.colourings,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:10]

    def run(self, on_progress: Progress | None, stop: StopRequest | None) -> Run:
        """Measure what is missing, merge, write."""
        if self.fabric.is_global_zero and not (self.settings.resume and self._parts_suffice()):
            self.parts.clear()
        self.fabric.barrier()
        try:
            self.parts.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BenchError(
                f"{self.parts.folder} cannot be written: {error.strerror}. Choose another --out."
            ) from error
        done = self.parts.done()
        self.fabric.barrier()  # nobody writes a part before everybody has read what is done
        missing = [i for i in range(len(self.dataset)) if i not in done]
        mine = missing[self.fabric.global_rank :: self.fabric.world_size]
        with nullcontext(stop) if stop is not None else StopRequest() as asked:
            cut = self._stream(mine, len(done), on_progress, asked)
        # Signals need not reach all processes, and the others would wait for those that left.
        if self.fabric.all_reduce(torch.tensor(float(cut)), reduce_op="max"):
            raise Interrupted
        if self.fabric.is_global_zero:
            self._finish()
        self.fabric.barrier()
        return self.result()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one run at a time may measure the same thing into the same folder."""
        where = hashlib.sha256(str((self.store.root / self.folder).resolve()).encode()).hexdigest()[:16]
        path = cache_dir() / "locks" / where
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        if not self.fabric.is_global_zero:
            yield
            return
        try:
            with lock:
                yield
        except Timeout as error:
            raise BenchError(
                f"another run is measuring the same into {self.store.root / self.folder}; wait for it, or use --out."
            ) from error

    def result(self) -> Run:
        """The finished Run, in every process."""
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

    def _stream(self, indices: Sequence[int], before: int, on_progress: Progress | None, stop: StopRequest) -> bool:
        """Measure and save photographs until the last, or until somebody asks to stop; then True."""
        settings, device, world = self.settings, self.fabric.device, self.fabric.world_size
        workers = default_workers(len(indices)) if settings.workers is None else settings.workers
        cases = TestCases(self.dataset, self.preprocessing, indices, self.predictions)
        recorder = Recorder(self.metrics, self.parts, world)
        saved = time.monotonic()
        reset_peak_memory(device)
        for batch in loader(cases, settings.batch_size, workers, pin=device.type == "cuda"):
            self._measure(batch, recorder)
            if time.monotonic() - saved > settings.checkpoint_seconds:
                recorder.save()
                saved = time.monotonic()
            if on_progress is not None:
                on_progress(min(before + recorder.images * world, len(self.dataset)), len(self.dataset))
            if stop.requested:
                break
        recorder.save()
        return stop.requested

    @torch.inference_mode()
    def _measure(self, batch: Batch, recorder: Recorder) -> None:
        self._refuse_failures(batch)
        recorder.part.failures += batch.failures
        if not batch.indices:
            return
        target = batch.target.to(self.fabric.device, non_blocking=True)
        colourings, finite = self._colourings(batch, target)
        recorder.add(batch.indices, colourings[0], target if self.dataset.has_reference else None)
        recorder.extend({"finite": finite.double()})
        for metric in self.set_metrics:
            recorder.extend(metric.measure_set(colourings))
        self._keep_samples(batch, colourings[0])

    def _refuse_failures(self, batch: Batch) -> None:
        if self.settings.strict and batch.failures:
            index, reason = batch.failures[0]
            raise DatasetError(f"{self.dataset.names[index]} cannot be measured (--strict): {reason}")

    def _colourings(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """(K, B, 3, S, S) uint8 predictions for (B, 3, S, S) originals, and (B,) whether all their chroma is finite."""
        if self.model is None:
            assert batch.prediction is not None
            return batch.prediction.to(target.device)[None], target.new_ones(len(target), dtype=torch.bool)
        lab = rgb_to_lab(target)
        names = [self.dataset.names[i] for i in batch.indices]
        ways = range(self.settings.colourings)
        chroma = torch.stack([self._chroma(self.model, lab, [self._seed(n, way) for n in names]) for way in ways])
        return to_uint8(join(lab[:, :1].expand(len(ways), -1, -1, -1, -1), chroma)), chroma.isfinite().all(4).all(
            3
        ).all(2).all(0)

    def _chroma(self, model: Colorizer, lab: Tensor, seeds: Sequence[int]) -> Tensor:
        """(B, 3, S, S) L*a*b* -> (B, 2, S, S) predicted a*b*, from the lightness alone (and hints)."""
        lightness, ab = lab[:, :1], lab[:, 1:]
        # Drawn on the CPU, so that every device gives the same hints and the same noise.
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        hints: Hints | None = None
        if model.needs_target:
            hints = dense_hints(ab)
        elif self.settings.hints:
            hints = draw_hints(ab, self.settings.hints, generators)
        with self.fabric.autocast():
            return predict_chroma(model, lightness, hints, generators if model.stochastic else None)

    def _seed(self, name: str, way: int) -> int:
        """Of one photograph's colouring: the same whatever the batch size, the order or the number of processes."""
        text = f"{self.protocol.seed}:{name}" + (f":{way}" if way else "")
        digest = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:7], "little")

    def _keep_samples(self, batch: Batch, prediction: Tensor) -> None:
        folder = self.parts.folder / "samples"
        for place, index in enumerate(batch.indices):
            if index in self.kept:
                folder.mkdir(exist_ok=True)
                photo_from_tensor(prediction[place].cpu()).save(folder / sample_name(index, "prediction"))
                photo_from_tensor(batch.target[place]).save(folder / sample_name(index, "target"))

    def _finish(self) -> None:
        parts = self.parts.load()
        rows = merge_rows(parts)
        n = len(rows.get("index", ()))
        if n == 0:
            raise DatasetError(
                f"none of the {len(self.dataset)} photographs of {self.dataset.name} could be read; "
                f"the first: {next((reason for part in parts for _, reason in part.failures), 'no reason given')}"
            )
        measured = summarise([*self.metrics, *self.set_metrics], parts, rows, self.protocol.seed)
        measured |= {name: Estimate(reason=reason) for name, reason in self.absent.items()}
        run = self._record(parts, rows, {name: measured[name] for name in self.numbers})
        if run.complete:
            self.reference.keep(self.metrics)
        self.store.write(run, row_table(self.dataset, rows), self.parts.folder / "samples")
        self.parts.clear()

    def _record(self, parts: Sequence[Part], rows: Mapping[str, Tensor], numbers: dict[str, Estimate]) -> Run:
        n = len(rows["index"])
        measured = set(rows["index"].tolist())
        reasons = {i: reason for part in parts for i, reason in part.failures if i not in measured}
        device = self.fabric.device
        peak = peak_memory_mb(device)
        with self.fabric.autocast():
            macs = multiply_accumulates(self.model, device, self.preprocessing.size) if self.model else None
            latency = latency_ms(self.model, device, self.preprocessing.size) if self.model else None
            facts = device_facts(device)
        # Processes of one session work side by side, sessions one after the other.
        seconds = sum(part.seconds / part.processes for part in parts)
        return Run(
            key=self.key,
            complete=n == len(self.dataset),
            model=self.identity.record.model_copy(update={"macs": macs, "digest": self.identity.digest}),
            dataset=DatasetRecord(
                name=self.dataset.name,
                split=self.dataset.split,
                n=n,
                expected=self.dataset.expected,
                complete=self.dataset.complete,
                strays=self.dataset.strays,
                digest=self.dataset.digest(),
                gray=int(rows["gray"].sum()) if "gray" in rows else None,
            ),
            protocol=ProtocolRecord(
                name=self.protocol.name, hash=self.protocol.hash, definition=self.protocol.model_dump(mode="json")
            ),
            metrics=numbers,
            originals=summarise_originals(self.metrics, rows, self.protocol.seed),
            speed=Speed(
                images_per_second=sum(p.images for p in parts) / seconds if seconds and self.model else None,
                latency_ms=latency,
                peak_memory_mb=peak,
                batch_size=self.settings.batch_size,
                processes=self.fabric.world_size,
            ),
            failures=tuple(Failure(name=self.dataset.names[i], reason=reasons[i]) for i in sorted(reasons)),
            seed=self.protocol.seed,
            hints=self.settings.hints,
            colourings=self.settings.colourings,
            environment=self._environment(dict(facts)),
        )

    def _environment(self, device: dict[str, Any]) -> Environment:
        return Environment(
            code_version=self.code.version,
            commit=self.code.commit,
            dirty=self.code.dirty,
            code_digest=self.code.digest,
            libraries=self.libraries,
            device=device,
            precision=self.settings.precision,
            command=self.settings.command,
            start=self.started,
            end=datetime.now(UTC),
        )
