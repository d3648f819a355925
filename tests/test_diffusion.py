"""The process alone, driven by denoisers in closed form: what a perfect network would return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.diffusion import Process, image_generators

SAMPLERS = ("ddpm", "ddim", "dpm++")
PREDICTIONS = ("v", "x0", "epsilon")
CPU = torch.device("cpu")


def signal_power(prediction: str) -> Tensor:
    """alpha-bar of 1000 linear betas; for v and x0 rescaled so that the last is zero (Lin et al. 2023, algorithm 1)."""
    root = np.sqrt(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000, dtype=np.float64)))
    if prediction != "epsilon":
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return torch.from_numpy(root**2).float()


def optimal(prediction: str, mean: Tensor | float, spread: float) -> Callable[[Tensor, Tensor], Tensor]:
    """The best denoiser of independent values N(mean, spread^2); with spread 0 it knows the truth."""
    power = signal_power(prediction)

    def denoise(noisy: Tensor, step: Tensor) -> Tensor:
        a = power[step].view(-1, 1, 1, 1)
        clean = mean + spread**2 * a.sqrt() / (spread**2 * a + 1 - a) * (noisy - a.sqrt() * mean)
        noise = (noisy - a.sqrt() * clean) / (1 - a).sqrt()
        return {"v": a.sqrt() * noise - (1 - a).sqrt() * clean, "x0": clean, "epsilon": noise}[prediction]

    return denoise


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 5, 50])
def test_every_sampler_finds_the_truth(sampler: Any, prediction: Any, steps: int) -> None:
    truth = torch.rand(2, 2, 16, 24, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    denoise = optimal(prediction, truth, spread=0)
    found = Process(prediction, sampler, steps).sample(denoise, (2, 16, 24), image_generators(None, 2), CPU)
    # epsilon-prediction starts from a signal so weak that float32 carries x0 to three digits only; DPM++ takes 2^-12 of
    # the amplitude for none.
    assert (found - truth).abs().max() < (5e-3 if prediction == "epsilon" else 2e-3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samples_have_the_distribution_of_the_data(sampler: Any) -> None:
    """Sampling that starts from more noise than training ended with, or skips a step, misses mean and spread."""
    process = Process("v", sampler, steps=250)
    generators = image_generators(torch.Generator().manual_seed(0), 4)
    found = process.sample(optimal("v", 0.3, 0.2), (2, 64, 64), generators, CPU)
    assert abs(float(found.mean()) - 0.3) < 0.005
    assert abs(float(found.std()) - 0.2) < 0.02


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_predictions_out_of_range_are_clamped(sampler: Any) -> None:
    denoise = optimal("v", torch.tensor([3.0, -3.0]).view(1, 2, 1, 1), spread=0)
    found = Process("v", sampler, 10).sample(denoise, (2, 8, 8), image_generators(None, 1), CPU)
    assert (found - torch.tensor([1.0, -1.0]).view(1, 2, 1, 1)).abs().max() < 1e-5


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_training_pairs_follow_the_schedule(prediction: Any) -> None:
    clean, noise = torch.rand(3, 2, 8, 8) * 2 - 1, torch.randn(3, 2, 8, 8)
    step = torch.tensor([0, 500, 999])
    noisy, target = Process(prediction).training_pair(clean, noise, step)
    a = signal_power(prediction)[step].view(3, 1, 1, 1)
    torch.testing.assert_close(noisy, a.sqrt() * clean + (1 - a).sqrt() * noise, atol=1e-4, rtol=0)
    expected = {"v": a.sqrt() * noise - (1 - a).sqrt() * clean, "x0": clean, "epsilon": noise}[prediction]
    torch.testing.assert_close(target, expected, atol=1e-4, rtol=0)
    # Zero terminal SNR: at the last step nothing is left to see. Without it epsilon-prediction keeps a trace.
    assert torch.equal(noisy[2], noise[2]) == (prediction != "epsilon")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_steps_run_from_the_noisiest_to_the_cleanest(sampler: Any) -> None:
    seen: list[int] = []

    def denoise(noisy: Tensor, step: Tensor) -> Tensor:
        assert step.shape == (2,)
        seen.append(int(step[0]))
        return torch.zeros_like(noisy)

    Process("v", sampler, 20).sample(denoise, (1, 4, 4), image_generators(None, 2), CPU)
    assert seen == list(range(999, 0, -50))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_noise_belongs_to_the_image_not_to_the_batch(sampler: Any) -> None:
    process, denoise = Process("v", sampler, 10), optimal("v", 0.0, 0.5)

    def draw(generators: list[torch.Generator]) -> Tensor:
        return process.sample(denoise, (2, 5, 7), generators, CPU)

    one = torch.Generator().manual_seed(0)
    together = draw(image_generators(torch.Generator().manual_seed(0), 3))
    cut = torch.cat([draw(image_generators(one, count)) for count in (1, 2)])
    assert torch.equal(cut, together)
    seeds = (7, 8, 9)
    per_image = draw(image_generators([torch.Generator().manual_seed(s) for s in seeds], 3))
    alone = [draw(image_generators([torch.Generator().manual_seed(s)], 1)) for s in seeds]
    assert torch.equal(torch.cat(alone), per_image)
    assert not torch.equal(per_image, together)


def test_generators_move_on_and_must_be_one_or_one_each() -> None:
    source = torch.Generator().manual_seed(0)
    first, second = image_generators(source, 1)[0], image_generators(source, 1)[0]
    assert first.initial_seed() != second.initial_seed()
    with pytest.raises(ValueError, match="2 generators for 3 images"):
        image_generators([source, source], 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"steps": 30}, "must divide 1000"), ({"sampler": "euler"}, "ddpm, ddim"), ({"prediction": "x"}, "v, x0")],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Process(**options)
