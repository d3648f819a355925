from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.color import rgb2hsv, rgb2lab, rgb2yuv
from torch import Tensor, nn

from bench.color import gray_rgb
from bench.colorizer import Hints
from bench.errors import HintsError, WeightsError
from bench.registry import ModelCard
from models.multicolor import CARDS, CSCNet, MultiColor, color_channels, multicolor, multicolor_mini


@pytest.fixture(scope="module")
def mini() -> MultiColor:
    torch.manual_seed(0)
    return multicolor_mini().eval()


def colours() -> np.ndarray:
    """(64, 64, 3) sRGB in [0, 1]: random ones, grays, black, white, and ties between two channels."""
    rgb = np.random.default_rng(0).uniform(size=(64, 64, 3)).astype(np.float32)
    rgb[0] = np.linspace(0, 1, 64, dtype=np.float32)[:, None]
    rgb[1, :, 1] = rgb[1, :, 0]
    rgb[2, :, 2] = rgb[2, :, 0]
    rgb[3, :, 2] = rgb[3, :, 1]
    rgb[4] = np.eye(3, dtype=np.float32)[np.arange(64) % 3]
    return rgb


def test_color_channels_agree_with_scikit_image() -> None:
    rgb = colours()
    channels = color_channels(torch.from_numpy(rgb).permute(2, 0, 1)[None])
    expected = {
        "lab": rgb2lab(rgb)[..., 1:] / 128,
        "hsv": rgb2hsv(rgb)[..., :2],
        "yuv": rgb2yuv(rgb)[..., 1:] / (0.436, 0.615),
    }
    assert channels.keys() == expected.keys()
    for space, reference in expected.items():
        difference = np.abs(channels[space][0].permute(1, 2, 0).numpy() - reference)
        if space == "hsv":  # hue is a circle
            difference = np.minimum(difference, np.abs(1 - difference))
        assert difference.max() < 1e-4, space


@pytest.mark.parametrize(("build", "card"), zip((multicolor, multicolor_mini), CARDS, strict=True))
def test_cards_tell_the_truth(build: Callable[[], MultiColor], card: ModelCard) -> None:
    model = build()
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == card.parameters
    assert model.working_size == card.working_size
    assert "mini" not in card.name or 1.0e6 <= parameters <= 1.4e6


@torch.inference_mode()
def test_channels_mapped_first_are_those_of_the_papers_query_maps(mini: MultiColor) -> None:
    """In the paper: one full-size map per query, then a 1x1 convolution to two channels."""
    lightness = torch.rand(2, 1, 64, 96) * 100
    predictions = mini.predictions(lightness)
    maps = mini.pixel_decoder(mini.encoder((gray_rgb(lightness) - mini.mean) / mini.std))
    pixels = mini.pixel_decoder.last(maps[4])
    for space, module in mini.color_modules.items():
        query_maps = torch.einsum("bqc,bchw->bqhw", module.decoder(maps), pixels)
        convolution = nn.Conv2d(query_maps.shape[1], 2, 1)
        convolution.load_state_dict({"weight": module.mapper.weight[..., None, None], "bias": module.mapper.bias})
        expected = convolution(query_maps)
        assert expected.std() > 1e-3
        assert torch.allclose(predictions[space], expected, atol=1e-4)
    channels = torch.cat([predictions[space] for space in ("lab", "hsv", "yuv")] + [lightness / 50 - 1], dim=1)
    assert torch.allclose(mini.cscnet(channels), predictions["rgb"], atol=1e-5)


def test_cscnet_is_five_blocks_of_two_convolutions_and_a_bare_head() -> None:
    kinds = [type(layer) for layer in CSCNet(7, (32, 64, 128, 64, 32))]
    assert kinds == [nn.Conv2d, nn.GroupNorm, nn.GELU] * 10 + [nn.Conv2d]
    widths = [layer.out_channels for layer in CSCNet(7, (32, 64, 128, 64, 32)) if isinstance(layer, nn.Conv2d)]
    assert widths == [32, 32, 64, 64, 128, 128, 64, 64, 32, 32, 3]


@torch.inference_mode()
@pytest.mark.parametrize("rgb", [(0.1, 0.7, 0.2), (0.2, 0.1, 0.9), (0.9, 0.6, 0.1)])
def test_chroma_of_either_sign_comes_out(rgb: tuple[float, float, float]) -> None:
    """The public re-implementation cannot: a ReLU keeps its chroma from being negative."""
    model = multicolor_mini().eval()
    head = model.cscnet[-1]
    head.weight.zero_()
    head.bias.copy_(torch.tensor(rgb))
    expected = rgb2lab(np.array(rgb).reshape(1, 1, 3))[0, 0, 1:]
    assert expected.min() < 0 or expected.max() > 0
    output = model(torch.rand(1, 1, 32, 64) * 100)
    np.testing.assert_allclose(output.amax(dim=(0, 2, 3)), expected, atol=1e-2)
    np.testing.assert_allclose(output.amin(dim=(0, 2, 3)), expected, atol=1e-2)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(32, 32), (128, 128), (96, 160)])
def test_any_multiple_of_32(mini: MultiColor, size: tuple[int, int]) -> None:
    lightness = torch.rand(2, 1, *size) * 100
    output = mini(lightness)
    assert output.shape == (2, 2, *size)
    assert torch.allclose(output[1:], mini(lightness[1:]), atol=1e-3)


def used_parameters(model: MultiColor) -> list[Tensor]:
    return [p for p in model.parameters() if p.requires_grad]


def test_gradients_reach_everything_from_black_to_white() -> None:
    model = multicolor_mini()
    lightness = torch.rand(2, 1, 64, 64) * 100
    lightness[0, :, :32], lightness[0, :, 32:] = 0, 100
    model(lightness).abs().mean().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in used_parameters(model))


def test_fewer_spaces() -> None:
    model = multicolor_mini(spaces=("lab",))
    assert model.cscnet[0].in_channels == 3
    assert set(model.predictions(torch.rand(2, 1, 32, 32) * 100)) == {"lab", "rgb"}
    with pytest.raises(ValueError, match="spaces"):
        multicolor_mini(spaces=("rgb",))


@torch.inference_mode()
def test_save_and_load_with_and_without_folding() -> None:
    model = multicolor_mini().eval()
    lightness = torch.rand(1, 1, 64, 64) * 100
    trained, expected = model.state_dict(), model(lightness)
    model.prepare_for_inference()
    assert not any(key.endswith("weight_orig") for key in model.state_dict())
    for state in (trained, model.state_dict()):
        copy = multicolor_mini()
        copy.load_weights(state)
        copy.prepare_for_inference()
        assert torch.allclose(copy(lightness), expected, atol=1e-3)


def test_wrong_weights_and_hints_are_refused() -> None:
    with pytest.raises(WeightsError):
        multicolor_mini(queries=8).load_weights(multicolor_mini().state_dict())
    with pytest.raises(HintsError):
        multicolor_mini()(torch.zeros(1, 1, 32, 32), Hints(torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32)))
