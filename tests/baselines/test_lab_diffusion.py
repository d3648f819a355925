from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from filled import GOLDENS, generator, key_table, normal
from torch import Tensor

from baselines.lab_diffusion import Condition, from_original, lab_diffusion, lab_diffusion_mini
from bench.colorizer import Hints
from bench.errors import HintsError, WeightsError
from bench.registry import card_of


def original_state() -> dict[str, Tensor]:
    """The rule behind the golden: He-scaled weights, gains near 1, everything else near 0."""
    state = {}
    for part in ("unet", "encoder"):
        for name, shape in key_table(f"colordiffusion_{part}").items():
            key = f"{part}.{name}"
            n = normal(key, shape)
            if name.endswith(".g") or (len(shape) == 1 and name.endswith("weight")):
                n = np.float32(1) + np.float32(0.02) * n
            else:
                n *= np.float32(0.02 if len(shape) == 1 else math.sqrt(2 / math.prod(shape[1:])))
            state[key] = torch.from_numpy(n)
    return state


@pytest.mark.slow
@torch.inference_mode()
def test_agrees_with_a_transcription_of_the_original_network() -> None:
    """The golden comes from the original's layers copied out by hand and run apart, at two time steps, 64 x 96."""
    golden = np.load(GOLDENS / "lab_diffusion.npz")
    model = lab_diffusion(shrink=1)
    model.load_weights(original_state())
    lightness = torch.from_numpy(generator("input").uniform(0, 100, (2, 1, 64, 96)).astype(np.float32))
    noisy = torch.from_numpy(normal("noisy", (2, 2, 64, 96)))
    for prepare in (model.eval, model.prepare_for_inference):  # the latter standardises the kernels beforehand
        prepare()
        condition = model.condition(lightness)
        for i, feature in enumerate(condition.features):
            seen = feature[:, ::16, ::4, ::4] if i < 2 else feature[:, ::32]
            np.testing.assert_allclose(seen, golden[f"feature{i}"], atol=1e-4)
        output = model.denoise(noisy, condition, torch.tensor([137, 801]))
        spread = float(golden["output_stats"][1])  # 81: nothing tames these weights
        assert np.abs(output[:, :, ::2, ::2].numpy() - golden["output_sub"]).max() < 2e-5 * spread
        stats = [output.mean(), output.std(correction=0), output.min(), output.max()]
        np.testing.assert_allclose(stats, golden["output_stats"], atol=2e-5 * spread)


def test_original_tensors_are_all_used_but_for_those_of_the_card() -> None:
    with torch.device("meta"):
        expected = lab_diffusion().state_dict()
    tables = {part: key_table(f"colordiffusion_{part}") for part in ("unet", "encoder")}
    state = {f"{part}.{k}": torch.empty(s, device="meta") for part, table in tables.items() for k, s in table.items()}
    assert sum(t.numel() for k, t in state.items() if k.startswith("unet.")) == 48_093_058
    assert sum(t.numel() for k, t in state.items() if k.startswith("encoder.")) == 13_411_328
    mapped = from_original(state)
    assert {k: t.shape for k, t in mapped.items()} == {k: t.shape for k, t in expected.items()}
    dropped = sum(t.numel() for t in state.values()) - sum(t.numel() for t in mapped.values())
    assert dropped == 328_704 + 1_838_592 + (384 * 384 * 9 + 384)  # time_mlp, mlp of the blocks, the last convolution
    assert f"{dropped:,} parameters" in card_of("lab-diffusion").note
    assert sum(t.numel() for t in mapped.values()) == card_of("lab-diffusion").parameters


@pytest.mark.slow
def test_a_key_too_many_or_too_few_is_named() -> None:
    model, state = lab_diffusion(), original_state()
    with pytest.raises(WeightsError, match=r"unet\.surprise"):
        model.load_weights(state | {"unet.surprise": torch.zeros(1)})
    state.pop("unet.ups.2.3.2.bias")
    with pytest.raises(WeightsError, match=r"unet\.ups\.2\.2\.bias"):
        model.load_weights(state)


def test_mini_is_small() -> None:
    parameters = sum(p.numel() for p in lab_diffusion_mini().parameters())
    assert 1_000_000 <= parameters <= 1_400_000
    assert parameters == card_of("lab-diffusion-mini").parameters


@torch.inference_mode()
def test_batches_may_be_cut_anywhere() -> None:
    """Ancestral sampling draws noise at every step, all of it from the image's own generator."""
    model = lab_diffusion_mini(sampler="ddpm", steps=4).prepare_for_inference()
    lightness = torch.rand(3, 1, 32, 64, generator=torch.Generator().manual_seed(5)) * 100
    together = model(lightness, generator=torch.Generator().manual_seed(0))
    one = torch.Generator().manual_seed(0)
    cut = torch.cat([model(part, generator=one) for part in (lightness[:1], lightness[1:])])
    torch.testing.assert_close(cut, together, atol=1e-3, rtol=0)

    per_image = model(lightness, generator=[torch.Generator().manual_seed(s) for s in (7, 8, 9)])
    alone = [model(lightness[i : i + 1], generator=[torch.Generator().manual_seed(7 + i)]) for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), per_image, atol=1e-3, rtol=0)
    assert not torch.allclose(together, per_image)


@torch.inference_mode()
def test_chroma_is_brought_from_its_grid_to_the_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network that knows the truth: L* and ab are scaled by 50 - 1 and 110, the grid is 4 times coarser."""
    model = lab_diffusion_mini(steps=2)
    truth = torch.rand(1, 2, 8, 16, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
    seen: list[Condition] = []

    def denoise(noisy: Tensor, condition: Condition, step: Tensor) -> Tensor:
        seen.append(condition)
        signal, noise = model.process.training_pair(
            truth, torch.zeros(truth.shape), step
        )  # sqrt(a) x0 and -sqrt(1-a) x0
        a = (signal / truth).mean() ** 2
        return a.sqrt() * (noisy - signal) / (1 - a).sqrt() + noise

    monkeypatch.setattr(model, "denoise", denoise)
    lightness = torch.rand(1, 1, 32, 64) * 100
    found = model(lightness)
    torch.testing.assert_close(found, F.interpolate(truth * 110, (32, 64), mode="bilinear"), atol=0.01, rtol=0)
    torch.testing.assert_close(seen[0].lightness, F.interpolate(lightness, (8, 16), mode="area") / 50 - 1)
    torch.testing.assert_close(model.coarse_chroma(found), F.interpolate(found, (8, 16), mode="area") / 110)


@torch.inference_mode()
def test_lightness_is_encoded_once_per_image(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lab_diffusion_mini(steps=5).eval()
    calls = {"encoder": 0, "unet": 0}
    for name in calls:
        getattr(model, name).register_forward_hook(lambda *_, n=name: calls.update({n: calls[n] + 1}))
    model(torch.zeros(1, 1, 32, 32))
    assert calls == {"encoder": 1, "unet": 5}


def test_every_parameter_learns() -> None:
    model = lab_diffusion_mini()
    lightness, clean = torch.rand(2, 1, 64, 64) * 100, torch.rand(2, 2, 16, 16) - 0.5
    step = torch.tensor([3, 999])
    noisy, target = model.process.training_pair(clean, torch.randn_like(clean), step)
    F.mse_loss(model.denoise(noisy, model.condition(lightness), step), target).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name


def test_it_can_learn() -> None:
    """One batch at fixed noise is half explained within a few steps."""
    torch.manual_seed(0)
    model = lab_diffusion_mini()
    lightness, clean, step = torch.rand(4, 1, 64, 64) * 100, torch.rand(4, 2, 1, 1).expand(-1, -1, 16, 16), 200
    noisy, target = model.process.training_pair(clean, torch.randn(clean.shape), torch.full((4,), step))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(20):
        loss = F.mse_loss(model.denoise(noisy, model.condition(lightness), torch.full((4,), step)), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_options_of_the_process_pass_through() -> None:
    model = lab_diffusion_mini(prediction="epsilon", sampler="dpm++", steps=10)
    assert (model.process.prediction, model.process.sampler, model.process.steps) == ("epsilon", "dpm++", 10)
    assert (lab_diffusion_mini().process.steps, card_of("lab-diffusion-mini").working_size) == (20, 128)
    with torch.device("meta"):
        assert lab_diffusion().process.steps == 50


def test_hints_are_refused() -> None:
    with pytest.raises(HintsError):
        lab_diffusion_mini()(torch.zeros(1, 1, 32, 32), Hints(torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32)))
