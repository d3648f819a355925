from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from filled import fan_in_state, key_table
from torch import Tensor, nn

from baselines.pix2pix import CARDS, Pix2Pix, pix2pix, pix2pix_mini
from bench.colorizer import Hints
from bench.errors import HintsError, WeightsError
from bench.registry import ModelCard


def official_unet(state: dict[str, Tensor], x: Tensor, path: str = "model.model", level: int = 0) -> Tensor:
    """The official generator as its keys nest: every level wraps the next and hands its input on beside its output."""

    def norm(x: Tensor, index: int) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{path}.{index}.{name}"] for name in names))

    def up(x: Tensor, index: int) -> Tensor:
        bias = state.get(f"{path}.{index}.bias")
        return F.conv_transpose2d(F.relu(x), state[f"{path}.{index}.weight"], bias, stride=2, padding=1)

    if level == 0:
        y = F.conv2d(x, state[f"{path}.0.weight"], stride=2, padding=1)
        return torch.tanh(up(official_unet(state, y, f"{path}.1.model", 1), 3))
    y = F.conv2d(F.leaky_relu(x, 0.2), state[f"{path}.1.weight"], stride=2, padding=1)
    if f"{path}.3.model.1.weight" not in state:
        return torch.cat((x, norm(up(y, 3), 4)), dim=1)
    y = official_unet(state, norm(y, 2), f"{path}.3.model", level + 1)
    return torch.cat((x, norm(up(y, 5), 6)), dim=1)


@pytest.fixture(scope="module")
def official_state() -> dict[str, Tensor]:
    state = fan_in_state("pix2pix_unet256")
    state["model.model.3.weight"] *= 0.1  # else tanh saturates and hides differences
    return state


@pytest.fixture(scope="module")
def full(official_state: dict[str, Tensor]) -> Pix2Pix:
    model = pix2pix()
    model.load_weights(official_state)
    model.prepare_for_inference()
    return model


@torch.inference_mode()
@pytest.mark.parametrize("size", [(256, 256), (256, 512)])
def test_agrees_with_the_official_graph(
    full: Pix2Pix, official_state: dict[str, Tensor], size: tuple[int, int]
) -> None:
    lightness = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1)) * 100
    expected = official_unet(official_state, lightness / 50 - 1) * 110
    output = full(lightness)
    assert 1 < expected.std() < 90
    assert (output - expected).abs().max() < 2e-3
    assert full.stride == 256


@torch.inference_mode()
def test_the_outermost_level_by_hand() -> None:
    """Two levels are a hand-made chain around one skip connection."""
    model = Pix2Pix(levels=2, width=4).eval()
    outer, inner = model.downs
    middle = nn.Sequential(nn.LeakyReLU(0.2), inner.conv, nn.ReLU(), model.ups[1].conv, nn.BatchNorm2d(4).eval())
    middle[-1].load_state_dict(model.ups[1].norm.state_dict())
    lightness = torch.rand(2, 1, 12, 8) * 100
    x = outer.conv(lightness / 50 - 1)
    expected = 110 * nn.Sequential(nn.ReLU(), model.ups[0].conv, nn.Tanh())(torch.cat((x, middle(x)), dim=1))
    assert torch.allclose(model(lightness), expected, atol=1e-5)


@pytest.mark.parametrize(("build", "card"), zip((pix2pix, pix2pix_mini), CARDS, strict=True), ids=["full", "mini"])
def test_cards_tell_the_truth(build: Callable[[], Pix2Pix], card: ModelCard) -> None:
    model = build()
    assert sum(p.numel() for p in model.parameters()) == card.parameters
    assert model.working_size == card.working_size
    assert "mini" not in card.name or 1.0e6 <= card.parameters <= 1.4e6


def test_dropout_sits_in_the_three_levels_next_to_the_bottleneck(full: Pix2Pix) -> None:
    rates = [up.dropout.p for up in pix2pix().ups]
    assert rates == [0, 0, 0, 0, 0.5, 0.5, 0.5, 0]
    assert not full.training
    assert len(key_table("pix2pix_unet256")) == len(full.state_dict())


def test_a_whole_tutorial_model_loads(full: Pix2Pix, official_state: dict[str, Tensor]) -> None:
    whole = {f"net_G.{key}": tensor for key, tensor in official_state.items()}
    whole |= {"net_D.model.0.0.weight": torch.zeros(64, 3, 4, 4), "GANcriterion.real_label": torch.tensor(1.0)}
    model = pix2pix()
    model.load_weights(whole)
    theirs, ours = full.state_dict(), model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_wrong_weights_are_refused(official_state: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError):
        pix2pix_mini().load_weights(official_state)
    state = dict(official_state)
    state["model.model.1.model.7.weight"] = state.pop("model.model.3.bias")
    with pytest.raises(WeightsError, match=r"ups\.0\.conv\.bias.*model\.model\.1\.model\.7\.weight"):
        pix2pix().load_weights(state)


@torch.inference_mode()
def test_images_of_a_batch_do_not_see_each_other() -> None:
    model = pix2pix_mini()
    model.prepare_for_inference()
    lightness = torch.rand(3, 1, 128, 256) * 100
    assert torch.allclose(model(lightness)[1:2], model(lightness[1:2]), atol=1e-4)


def test_gradients_are_finite() -> None:
    model = pix2pix_mini()
    model(torch.rand(2, 1, 128, 128) * 100).abs().mean().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())


def test_initialisation() -> None:
    torch.manual_seed(0)
    state = pix2pix_mini().state_dict()
    assert state["downs.4.conv.weight"].std().item() == pytest.approx(0.02, rel=0.02)
    assert state["ups.4.norm.weight"].mean().item() == pytest.approx(1, abs=0.02)
    assert state["ups.0.conv.bias"].abs().max() == 0


def test_hints_and_too_few_levels_are_refused() -> None:
    with pytest.raises(HintsError):
        pix2pix_mini()(torch.zeros(1, 1, 128, 128), Hints(torch.zeros(1, 2, 128, 128), torch.zeros(1, 1, 128, 128)))
    with pytest.raises(ValueError, match="levels"):
        Pix2Pix(levels=1)
