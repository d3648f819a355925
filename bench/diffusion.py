"""The diffusion process: noise schedule, samplers and training targets, for any network that removes noise.

1000 steps of linear betas 1e-4 .. 0.02 (Ho et al. 2020), rescaled so that the last step holds no signal (zero terminal
SNR: Lin et al. 2023, arXiv 2305.08891), because sampling starts from pure noise. The schedulers are those of diffusers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

if TYPE_CHECKING:
    from bench.colorizer import Generator

Sampler = Literal["ddpm", "ddim", "dpm++"]
Prediction = Literal["v", "x0", "epsilon"]
STEPS = 1000


@dataclass(frozen=True)
class Process:
    """How clean data becomes noise and comes back.

    Args:
        prediction: what the network returns: the velocity (Salimans and Ho 2022, arXiv 2202.00512), the clean data or
            the noise. The noise says nothing where no signal is left, so ``"epsilon"`` alone keeps the schedule as it
            is, with 0.6 % of the signal's amplitude at its end.
        sampler: ``"ddpm"`` (ancestral), ``"ddim"`` or ``"dpm++"`` (second order, multistep).
        steps: of the sampler; must divide 1000, so that they are evenly spaced and end at clean data.

    Raises:
        ValueError: an option that cannot be.
    """

    prediction: Prediction = "v"
    sampler: Sampler = "ddim"
    steps: int = 50

    def __post_init__(self) -> None:
        if self.prediction not in get_args(Prediction):
            raise ValueError(f"prediction must be one of {', '.join(get_args(Prediction))}, not {self.prediction!r}")
        if self.sampler not in get_args(Sampler):
            raise ValueError(f"sampler must be one of {', '.join(get_args(Sampler))}, not {self.sampler!r}")
        if self.steps < 1 or STEPS % self.steps:
            raise ValueError(f"steps must divide {STEPS} (10, 20, 25, 40, 50, 100, ...), not {self.steps}")

    def training_pair(self, clean: Tensor, noise: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """What the network is shown and what it should return.

        Args:
            clean: (B, ...) data in [-1, 1].
            noise: the same shape, standard normal.
            step: (B,) integers in [0, 999].
        """
        noisy = self._schedule.add_noise(clean, noise, step)
        if self.prediction == "v":
            return noisy, self._schedule.get_velocity(clean, noise, step)
        return noisy, clean if self.prediction == "x0" else noise

    def sample(
        self,
        denoise: Callable[[Tensor, Tensor], Tensor],
        shape: Sequence[int],
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> Tensor:
        """Draw one sample for each generator.

        Args:
            denoise: (B, *shape) noisy data, (B,) steps -> prediction.
            shape: of one sample.
            generators: on the CPU, so that every device sees the same noise; see ``image_generators``.
            device: where ``denoise`` works.

        Returns:
            (B, *shape) float32 in [-1, 1]; the clean data is clamped to this range at every step.
        """
        scheduler = self._scheduler(self.sampler)
        scheduler.set_timesteps(self.steps, device=device)
        # DDIM draws no more noise, and lets the clamp bend its direction only when told to.
        more = {"use_clipped_model_output": True} if self.sampler == "ddim" else {"generator": list(generators)}
        x = torch.stack([torch.randn(*shape, generator=generator) for generator in generators]).to(device)
        for step in scheduler.timesteps:
            predicted = denoise(x, step.expand(len(x))).float()
            x = scheduler.step(predicted, step, x, return_dict=False, **more)[0]
        return x.clamp(-1, 1)

    @cached_property
    def _schedule(self) -> Any:
        return self._scheduler("ddpm")

    def _scheduler(self, sampler: Sampler) -> Any:
        """Steps are counted back from the last one, which no other spacing reaches."""
        options: dict[str, Any] = {
            "num_train_timesteps": STEPS,
            "beta_start": 1e-4,
            "beta_end": 0.02,
            "beta_schedule": "linear",
            "timestep_spacing": "trailing",
            "rescale_betas_zero_snr": self.prediction != "epsilon",
            "prediction_type": {"v": "v_prediction", "x0": "sample", "epsilon": "epsilon"}[self.prediction],
        }
        # Imported here: it takes seconds, and no other model should wait for it.
        if sampler == "ddpm":
            from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

            return DDPMScheduler(**options, clip_sample=True)
        if sampler == "ddim":
            from diffusers.schedulers.scheduling_ddim import DDIMScheduler

            return DDIMScheduler(**options, clip_sample=True)
        from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

        # Dynamic thresholding capped at 1 is the plain clamp, which this scheduler lacks.
        return DPMSolverMultistepScheduler(**options, thresholding=True, sample_max_value=1.0)


def image_generators(generator: Generator | None, count: int) -> list[torch.Generator]:
    """A CPU generator for each image, seeded by the given one(s) in turn: batches may be cut anywhere.

    Raises:
        ValueError: several generators, but not one per image.
    """
    if isinstance(generator, torch.Generator) or generator is None:
        sources: Sequence[torch.Generator | None] = [generator] * count
    else:
        sources = generator
    if len(sources) != count:
        raise ValueError(f"{len(sources)} generators for {count} images: give one, or one per image")
    seeds = [torch.randint(2**62, (), generator=g, device=g.device if g else "cpu").item() for g in sources]
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]
