from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from filled import fan_in_state, key_table
from torch import Tensor

from bench.errors import WeightsError
from bench.training.discriminators import PatchDiscriminator


def test_the_70_pixel_patchgan_has_the_official_size() -> None:
    assert sum(p.numel() for p in PatchDiscriminator().parameters()) == 2_765_633


def test_official_keys_are_flat() -> None:
    modules = {key.rsplit(".", 1)[0] for key in PatchDiscriminator().state_dict()}
    assert modules == {f"model.{index}" for index in (0, 2, 3, 5, 6, 8, 9, 11)}


@pytest.mark.parametrize(("size", "cells"), [((256, 256), (30, 30)), ((128, 192), (14, 22))])
def test_one_logit_per_patch(size: tuple[int, int], cells: tuple[int, int]) -> None:
    with torch.inference_mode():
        assert PatchDiscriminator()(torch.rand(2, 3, *size)).shape == (2, 1, *cells)


@pytest.mark.parametrize(("layers", "field"), [(2, 34), (3, 70)])
def test_receptive_field(layers: int, field: int) -> None:
    image = torch.rand(1, 3, 256, 256, requires_grad=True)
    logits = PatchDiscriminator(width=8, layers=layers).eval()(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert image.grad is not None
    seen = image.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (seen.amax(dim=0) - seen.amin(dim=0) + 1).tolist() == [field, field]


def nested_patchgan(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network of facts sheet C, from the tutorial's own keys."""
    for layer, stride in enumerate((2, 2, 2, 1, 1)):
        x = F.conv2d(x, state[f"model.{layer}.0.weight"], state.get(f"model.{layer}.0.bias"), stride, padding=1)
        if f"model.{layer}.1.weight" in state:
            names = ("running_mean", "running_var", "weight", "bias")
            x = F.batch_norm(x, *(state[f"model.{layer}.1.{name}"] for name in names))
        if layer < 4:
            x = F.leaky_relu(x, 0.2)
    return x


@torch.inference_mode()
def test_nested_weights_load_and_give_the_same_logits() -> None:
    state, image = fan_in_state("patchgan70_nested"), torch.rand(2, 3, 96, 128)
    discriminator = PatchDiscriminator().eval()
    discriminator.load_weights(state)
    expected = nested_patchgan(state, image)
    assert expected.std() > 0.01
    assert (discriminator(image) - expected).abs().max() < 1e-4
    copy = PatchDiscriminator().eval()
    copy.load_weights(discriminator.state_dict())
    assert torch.equal(copy(image), discriminator(image))


def test_weights_of_another_network_are_refused() -> None:
    state = fan_in_state("patchgan70_nested")
    with pytest.raises(WeightsError, match="of another shape"):
        PatchDiscriminator(width=32).load_weights(state)
    state.pop("model.4.0.bias")
    with pytest.raises(WeightsError, match=r"model\.11\.bias"):
        PatchDiscriminator().load_weights(state)
    assert len(key_table("patchgan70_nested")) == len(state) + 1


def test_initialisation_and_gradients() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator()
    state = discriminator.state_dict()
    assert state["model.8.weight"].std().item() == pytest.approx(0.02, rel=0.01)
    assert state["model.9.weight"].mean().item() == pytest.approx(1, abs=0.01)
    assert state["model.0.bias"].abs().max() == 0
    F.softplus(-discriminator(torch.rand(2, 3, 64, 64))).mean().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in discriminator.parameters())
