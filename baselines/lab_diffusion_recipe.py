"""How Lab diffusion is trained: the U-Net learns to undo noise of random strength.

Optimiser and augmentation of ErwannMillon/Color-diffusion (commit 86da94a); what the network predicts is an option of
the model (``options.prediction``: ``epsilon`` is the original's).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from baselines.lab_diffusion import LabDiffusion
from bench.configs import Strict
from bench.diffusion import STEPS
from bench.training.config import OptimizerConfig
from bench.training.randomness import integers, normal
from bench.training.recipe import Batch, Phase, Recipe, Weight, weighted
from bench.training.schedules import make_optimizer


class DiffusionLosses(Strict):
    """Weights of the terms."""

    denoising: Weight = 1.0


class DiffusionOptions(Strict):
    """Options of the recipe: weights of the terms, and the optimiser."""

    losses: DiffusionLosses = DiffusionLosses()
    optimizer: OptimizerConfig = OptimizerConfig(kind="adamw", lr=1e-6, weight_decay=0.028)


class DiffusionRecipe(Recipe[LabDiffusion, DiffusionOptions]):
    """Mean squared error of the prediction at a random time step."""

    options_type = DiffusionOptions
    entries = ("condition", "denoise")

    def optimizers(self) -> dict[str, Optimizer]:
        return {"model": make_optimizer(self.options.optimizer, self.model.parameters())}

    def phases(self, batch: Batch) -> Iterator[Phase]:
        yield Phase("model", weighted(self.options.losses, denoising=lambda: self._denoising(batch)))

    def _denoising(self, batch: Batch) -> Tensor:
        clean = self.model.coarse_chroma(batch.ab)
        # Each step sees a photograph with another place in the order, and so with other seeds.
        noise = normal(batch.seeds, clean.shape[1:], "diffusion:noise")
        step = integers(batch.seeds, (), STEPS, "diffusion:step")
        noisy, wanted = self.model.process.training_pair(clean, noise, step)
        found = self.model.denoise(noisy, self.model.condition(batch.lightness), step)
        return F.mse_loss(found.float(), wanted)


RECIPE = DiffusionRecipe
