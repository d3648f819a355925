from __future__ import annotations

import numpy as np
import pytest
import torch
from filled import GOLDENS, fan_in_state, generator
from torch import Tensor

from baselines.eccv16 import ECCV16, eccv16, eccv16_mini
from bench.colorizer import Hints
from bench.errors import HintsError, WeightsError
from bench.gamut import in_gamut_bins


def golden_lightness(height: int = 256, width: int = 256) -> Tensor:
    values = generator("input").uniform(0, 100, size=(1, 1, height, width)).astype(np.float32)
    return torch.from_numpy(values)


@pytest.fixture(scope="module")
def official() -> ECCV16:
    model = eccv16()
    model.load_weights(fan_in_state("eccv16"))
    model.prepare_for_inference()
    return model


@torch.inference_mode()
def test_agrees_with_the_official_network(official: ECCV16) -> None:
    golden = np.load(GOLDENS / "eccv16.npz")
    logits = official.logits(golden_lightness())
    output = official.decode(logits)
    assert np.abs(logits[:, :, ::8, ::8].numpy() - golden["logits_sub"]).max() < 2e-5
    assert tuple(golden["shape"]) == tuple(output.shape)
    assert np.abs(output[:, :, ::4, ::4].numpy() - golden["output_sub"]).max() < 1e-5
    stats = [output.mean(), output.std(correction=0), output.min(), output.max()]
    np.testing.assert_allclose(stats, golden["output_stats"], atol=1e-5)


@torch.inference_mode()
def test_forward_decodes_its_logits(official: ECCV16) -> None:
    lightness = golden_lightness(40, 64)
    assert torch.equal(official(lightness), official.decode(official.logits(lightness)))


def test_state_dict_and_parameters_are_the_official_ones(official: ECCV16) -> None:
    expected = {key: tensor.shape for key, tensor in fan_in_state("eccv16").items()}
    assert {key: tensor.shape for key, tensor in official.state_dict().items()} == expected
    assert sum(p.numel() for p in official.parameters()) == 32_236_011


def test_files_older_than_the_batch_counter_load_and_others_do_not() -> None:
    state = fan_in_state("eccv16")
    model = ECCV16()
    model.load_weights({key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")})
    assert torch.equal(model.state_dict()["model8.6.weight"], state["model8.6.weight"])
    state.pop("model5.6.running_mean")
    with pytest.raises(WeightsError, match=r"model5\.6\.running_mean"):
        model.load_weights(state)
    with pytest.raises(WeightsError, match="of another shape"):
        eccv16_mini().load_weights(fan_in_state("eccv16"))


def annealed_mean(logits: Tensor, bins: np.ndarray, temperature: float) -> np.ndarray:
    """Equation 5 of the paper in float64: (B, Q, H, W) -> (B, 2, H, W)."""
    z = np.exp(logits.double().numpy())
    z /= z.sum(axis=1, keepdims=True)
    annealed = np.exp(np.log(z) / temperature)
    annealed /= annealed.sum(axis=1, keepdims=True)
    return np.einsum("bqhw,qc->bchw", annealed, bins)


@pytest.mark.parametrize("temperature", [0.1, 0.38, 1.0])
@torch.inference_mode()
def test_temperature_anneals_the_mean_of_the_bins(temperature: float) -> None:
    model = eccv16_mini(temperature=temperature)
    logits = torch.randn(2, 313, 3, 5, generator=torch.Generator().manual_seed(0)) * 3
    decoded = model.decode(logits)
    assert decoded.shape == (2, 2, 12, 20)
    # Without aligned corners, the bilinear weights at the image's corners are those of one cell.
    expected = annealed_mean(logits, in_gamut_bins().numpy(), temperature)
    np.testing.assert_allclose(decoded[:, :, ::11, ::19].numpy(), expected[:, :, ::2, ::4], atol=1e-3)


def test_temperature_must_be_positive() -> None:
    with pytest.raises(ValueError, match="temperature"):
        eccv16_mini(temperature=0)


def test_default_temperatures() -> None:
    """Released weights contain their temperature; weights trained here do not."""
    assert ECCV16().temperature == 1
    assert eccv16_mini().temperature == 0.38


@pytest.mark.parametrize("size", [(8, 8), (64, 104)])
@torch.inference_mode()
def test_any_multiple_of_8(size: tuple[int, int]) -> None:
    assert eccv16_mini().eval()(torch.rand(2, 1, *size) * 100).shape == (2, 2, *size)


def test_untrained_logits_are_near_uniform_and_colours_are_not_learned() -> None:
    model = eccv16_mini().train()
    logits = model.logits(torch.rand(2, 1, 64, 64) * 100)
    assert 0 < logits.std() < 0.5
    model.decode(logits).abs().mean().backward()
    assert model.model_out.weight.grad is None
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.model8.parameters())


def test_hints_are_refused() -> None:
    with pytest.raises(HintsError):
        eccv16_mini()(torch.zeros(1, 1, 8, 8), Hints(torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)))
