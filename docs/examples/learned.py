"""A model that learns, and the recipe that teaches it."""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.colorizer import Colorizer, Generator, Hints
from bench.configs import Strict
from bench.training.config import OptimizerConfig
from bench.training.recipe import Batch, Phase, Recipe, weighted
from bench.training.schedules import make_optimizer


class Learned(Colorizer):
    """Two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 2, 5, padding=2))

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        return 110 * self.layers(lightness / 50 - 1)


class Losses(Strict):
    pixel: float = 1.0


class Options(Strict):
    losses: Losses = Losses()
    optimizer: OptimizerConfig = OptimizerConfig(kind="adamw", lr=1e-3)


class L1(Recipe[Learned, Options]):
    """Mean absolute difference of chroma."""

    options_type = Options

    def optimizers(self) -> dict[str, Optimizer]:
        return {"model": make_optimizer(self.options.optimizer, self.model.parameters())}

    def phases(self, batch: Batch) -> Iterator[Phase]:
        ab = self.model(batch.lightness)
        yield Phase("model", weighted(self.options.losses, pixel=lambda: F.l1_loss(ab, batch.ab)))


RECIPE = L1
