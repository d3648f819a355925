from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from filled import fan_in_state
from torch import Tensor

from baselines.iizuka import CARDS, Iizuka, iizuka, iizuka_mini
from bench.colorizer import Hints
from bench.errors import HintsError, WeightsError
from bench.registry import ModelCard


def reimplementation(state: dict[str, Tensor], image: Tensor, copy: Tensor) -> tuple[Tensor, Tensor]:
    """The graph of the facts sheet from the re-implementation's keys; ``copy`` is what the global branch sees."""

    def block(x: Tensor, key: str, stride: int = 1) -> Tensor:
        x = F.conv2d(x, state[f"{key}.0.weight"], state[f"{key}.0.bias"], stride, padding=1)
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{key}.1.{name}"] for name in names)).relu()

    def linear(x: Tensor, key: str) -> Tensor:
        return F.linear(x, state[f"global_net.{key}.weight"], state[f"global_net.{key}.bias"])

    def low(x: Tensor) -> Tensor:
        for i in range(6):
            x = block(x, f"low_net.layers.{i}", stride=(2, 1)[i % 2])
        return x

    mid = block(block(low(image), "mid_net.layers.0"), "mid_net.layers.1")
    x = low(copy)
    for i in range(4):
        x = block(x, f"global_net.conv_layers.{i}", stride=(2, 1)[i % 2])
    x = linear(linear(x.flatten(1), "fc1.0").relu(), "fc2.0").relu()
    logits = linear(linear(x, "fc_classification.0").relu(), "fc_classification.2")
    tiled = linear(x, "fc3.0").relu()[:, :, None, None].repeat(1, 1, *mid.shape[-2:])
    fusion = (state[f"fusion_block.layers.0.{name}"] for name in ("weight", "bias"))
    y = F.conv2d(torch.cat((tiled, mid), dim=1), *fusion).relu()
    for i in (0, 2, 3, 5):
        y = block(y, f"colorization_net.layers.{i}")
        if i in (0, 3):
            y = y.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    last = (state[f"colorization_net.layers.6.{name}"] for name in ("weight", "bias"))
    y = torch.sigmoid(F.conv2d(y, *last, padding=1))
    return y.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2) * 255 - 128, logits


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return fan_in_state("iizuka_cnn_ivansetka")


@pytest.fixture(scope="module")
def full(state: dict[str, Tensor]) -> Iizuka:
    model = iizuka()
    model.load_weights(state)
    model.prepare_for_inference()
    return model


@torch.inference_mode()
@pytest.mark.parametrize("size", [(224, 224), (64, 104)])
def test_agrees_with_the_reimplementation(full: Iizuka, state: dict[str, Tensor], size: tuple[int, int]) -> None:
    lightness = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1)) * 100
    image = lightness / 100
    copy = F.interpolate(image, (224, 224), mode="bilinear", antialias=True)
    expected, expected_logits = reimplementation(state, image, copy)
    output, logits = full.chroma_and_logits(lightness)
    assert expected.std() > 0.1
    assert (output - expected).abs().max() < 2e-3
    assert torch.allclose(logits, expected_logits, atol=1e-4)
    assert torch.equal(full(lightness), output)


@pytest.mark.parametrize(("build", "card"), zip((iizuka, iizuka_mini), CARDS, strict=True), ids=["full", "mini"])
def test_cards_tell_the_truth(build: Callable[[], Iizuka], card: ModelCard) -> None:
    model = build()
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == card.parameters
    assert model.working_size == card.working_size
    assert "mini" not in card.name or 1.0e6 <= parameters <= 1.4e6


def test_every_key_has_its_place(full: Iizuka, state: dict[str, Tensor]) -> None:
    assert len(full.state_dict()) == len(state)
    surplus = dict(state) | {"low_net.extra": torch.zeros(1), "head.weight": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"2 unexpected .*low_net\.extra.*head\.weight"):
        iizuka().load_weights(surplus)
    with pytest.raises(WeightsError, match="of another shape"):
        iizuka_mini().load_weights(state)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(64, 64), (8, 16), (128, 96)])
def test_any_multiple_of_8(size: tuple[int, int]) -> None:
    model = iizuka_mini()
    model.prepare_for_inference()
    lightness = torch.rand(2, 1, *size) * 100
    output = model(lightness)
    assert output.shape == (2, 2, *size)
    assert torch.allclose(output[1:], model(lightness[1:]), atol=1e-4)


@torch.inference_mode()
def test_the_global_branch_carries_across_the_whole_image() -> None:
    """No convolution of the other branch reaches that far; untrained, the effect is small but not zero."""
    model = iizuka_mini().eval().double()
    lightness = torch.full((1, 1, 256, 256), 50.0, dtype=torch.float64)
    changed = lightness.clone()
    changed[..., 192:, 192:] = 100
    assert (model(changed) - model(lightness))[..., :32, :32].abs().max() > 1e-8


def test_gradients_reach_everything() -> None:
    model = iizuka_mini(classes=10)
    chroma, logits = model.chroma_and_logits(torch.rand(2, 1, 128, 128) * 100)
    assert logits.shape == (2, 10)
    (chroma.abs().mean() + F.cross_entropy(logits, torch.tensor([3, 7]))).backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())


def test_hints_and_odd_global_sizes_are_refused() -> None:
    with pytest.raises(HintsError):
        iizuka_mini()(torch.zeros(1, 1, 32, 32), Hints(torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32)))
    with pytest.raises(ValueError, match="global_size"):
        Iizuka(global_size=100)
