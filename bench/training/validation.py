"""Measuring while training: the same ``bench.evaluate`` that measures everything else, on a small split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from bench import registry
from bench.colorizer import Colorizer
from bench.datasets import Dataset, open_dataset
from bench.errors import ConfigError
from bench.evaluation import Settings, evaluate
from bench.loading import Provenance
from bench.metrics import NUMBERS
from bench.protocol import Preprocessing, Protocol
from bench.stopping import StopRequest
from bench.training.config import TrainConfig, ValidationConfig


class Validation:
    """The split and the numbers, found before training begins so that a mistake in them does not wait for hours.

    Args:
        config: of the run.
        store: folder of the Runs.

    Raises:
        ConfigError: a number does not exist.
        DatasetError: the split is not here.
    """

    def __init__(self, config: TrainConfig, store: Path) -> None:
        self.config, self.store = config, store
        how: ValidationConfig = config.validation
        unknown = [name for name in how.metrics if name not in NUMBERS]
        if unknown:
            raise ConfigError(f"validation.metrics: there is no number {unknown[0]!r}. Known: {', '.join(NUMBERS)}.")
        self.dataset: Dataset = open_dataset(how.dataset).limited(how.limit)
        self.protocol = Protocol(
            name="validation",
            preprocessing=Preprocessing(crop="center", size=how.size),
            metrics=list(how.metrics),
        )

    def measure(self, state: Mapping[str, Tensor], step: int, device: str, stop: StopRequest) -> dict[str, float]:
        """The numbers of these weights; those that cannot be had here are left out. All processes must call this.

        Raises:
            Interrupted: by ``stop``, in all processes.
        """
        model = inference_model(self.config, state, f"step {step}").to(device)
        run = evaluate(
            model,
            self.dataset,
            self.protocol,
            device=device,
            store=self.store,
            settings=Settings(workers=0, resume=False, samples=0, command=f"validation of step {step}"),
            stop=stop,
        )
        return {name: estimate.value for name, estimate in run.metrics.items() if estimate.value is not None}


def better(metric: str, value: float, best: float | None) -> bool:
    """Whether ``value`` beats ``best``."""
    if best is None:
        return True
    return value > best if NUMBERS[metric].better == "higher" else value < best


def inference_model(config: TrainConfig, state: Mapping[str, Tensor], label: str) -> Colorizer:
    """A second network with these weights, folded for inference; the one in training stays as it is."""
    model = registry.build(config.model, **config.options)
    model.load_weights({key: tensor.detach().cpu() for key, tensor in state.items()})
    model.provenance = Provenance(label, "trained here", model=config.model, options=config.options)
    return model.prepare_for_inference()
