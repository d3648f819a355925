from __future__ import annotations

import numpy as np
import pytest
import torch
from filled import GOLDENS, ddcolor_state, generator
from PIL import Image
from torch import Tensor, nn

from bench.color import gray_rgb, join, rgb_to_lab, to_uint8
from bench.colorizer import Hints
from bench.errors import BenchError, HintsError, WeightsError
from bench.protocol import Preprocessing
from models.ddcolor import DDColor, ddcolor, ddcolor_mini, ddcolor_tiny

OFFICIAL = {"ddcolor_large": (ddcolor, 227_869_328), "ddcolor_tiny": (ddcolor_tiny, 55_006_640)}


def lightness_of_gray(gray: Tensor) -> Tensor:
    """Gray sRGB (float64) -> L*, so that gray_rgb gives the golden's input back."""
    linear = torch.where(gray > 0.04045, ((gray + 0.055) / 1.055) ** 2.4, gray / 12.92)
    f = torch.where(linear > 0.008856, linear ** (1 / 3), 7.787 * linear + 16 / 116)
    return (116 * f - 16).float()


def golden_lightness(height: int = 256, width: int = 256) -> Tensor:
    gray = generator("input").uniform(0, 1, size=height * width).astype(np.float32).reshape(1, 1, height, width)
    lightness = lightness_of_gray(torch.from_numpy(gray).double())
    assert (gray_rgb(lightness)[:, :1] - torch.from_numpy(gray)).abs().max() < 2e-6
    return lightness


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("rule", ["F", "S"])
def test_agrees_with_the_official_network(name: str, rule: str) -> None:
    build, parameters = OFFICIAL[name]
    model = build()
    assert sum(p.numel() for p in model.parameters()) == parameters
    model.load_weights(ddcolor_state(name, rule))
    model.prepare_for_inference()
    golden = np.load(GOLDENS / f"{name}{'_s002' if rule == 'S' else ''}.npz")
    with torch.inference_mode():
        output = model(golden_lightness())
    assert tuple(golden["shape"]) == tuple(output.shape)
    assert np.abs(output[:, :, ::4, ::4].numpy() - golden["output_sub"]).max() < 1e-4
    stats = [output.mean(), output.std(correction=0), output.min(), output.max()]
    np.testing.assert_allclose(stats, golden["output_stats"], atol=1e-4)


@pytest.fixture(scope="module")
def tiny() -> DDColor:
    model = ddcolor_tiny()
    model.load_weights(ddcolor_state("ddcolor_tiny", "F"))
    return model.eval()


@torch.inference_mode()
def test_folding_spectral_norm_changes_nothing(tiny: DDColor) -> None:
    lightness = golden_lightness(64, 96)
    folded = ddcolor_tiny()
    folded.load_weights(ddcolor_state("ddcolor_tiny", "F"))
    folded.prepare_for_inference()
    assert not any(key.endswith("weight_orig") for key in folded.state_dict())
    assert (tiny(lightness) - folded(lightness)).abs().max() < 1e-5


@torch.inference_mode()
def test_query_maps_mixed_late_as_in_the_paper_give_the_same_chroma(tiny: DDColor) -> None:
    """The released graph: blur all pixel embeddings, one map per query, concatenate the input, 1x1 convolution."""
    lightness = golden_lightness(64, 64)
    assert tiny.color_decoder is not None
    rgb = (gray_rgb(lightness) - tiny.mean) / tiny.std
    maps = tiny.pixel_decoder(tiny.encoder(rgb))
    pixels = tiny.pixel_decoder.last(maps[4])
    query_maps = torch.einsum("bqc,bchw->bqhw", tiny.color_decoder(maps), pixels)
    late = tiny.refine(torch.cat((query_maps, rgb), dim=1))
    assert (late - tiny(lightness)).abs().max() < 1e-4


@torch.inference_mode()
def test_query_maps_and_their_weights_make_up_the_chroma(tiny: DDColor) -> None:
    lightness = golden_lightness(64, 96)
    maps, weights = tiny.query_maps(lightness)
    assert (maps.shape, weights.shape) == ((1, 100, 64, 96), (2, 100))
    rgb = (gray_rgb(lightness) - tiny.mean) / tiny.std
    rest = nn.functional.conv2d(rgb, tiny.refine.weight[:, -3:], tiny.refine.bias)
    assert (torch.einsum("kq,bqhw->bkhw", weights, maps) + rest - tiny(lightness)).abs().max() < 1e-4
    with pytest.raises(BenchError, match="no colour decoder"):
        ddcolor_mini(color_decoder=False).query_maps(lightness)


def test_encoder_layer_norms_use_epsilon_1e_6(tiny: DDColor) -> None:
    """The goldens cannot see this one."""
    norms = [m for m in tiny.encoder.modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) > 18
    assert {m.eps for m in norms} == {1e-6}


@torch.inference_mode()
@pytest.mark.parametrize("size", [(32, 32), (96, 160), (224, 64)])
def test_any_multiple_of_32(size: tuple[int, int]) -> None:
    assert ddcolor_mini().eval()(torch.rand(2, 1, *size) * 100).shape == (2, 2, *size)


@pytest.mark.parametrize(
    "switch",
    [
        {"color_decoder": False},
        {"scales": (16,)},
        {"scales": (8, 4)},
        {"queries": 7},
        {"layers": 3},
        {"block_order": ("self", "cross")},
        {"block_order": ("cross", "cross")},
        {"block_order": ("self", "self")},
    ],
    ids=str,
)
def test_ablation_switches_train(switch: dict) -> None:
    model = ddcolor_mini(**switch)
    model(torch.rand(2, 1, 64, 64) * 100).abs().mean().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "self" not in switch.get("block_order", ()):
            assert parameter.grad is not None, name
            assert bool(torch.isfinite(parameter.grad).all()), name
    assert (model.color_decoder is None) == ("color_decoder" in switch)


@torch.inference_mode()
@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["convnext_small", "convnext_base", "resnet50", "swin_tiny_patch4_window7_224"])
def test_backbones(backbone: str) -> None:
    model = ddcolor_mini(backbone=backbone, backbone_options={}).eval()
    assert model(torch.rand(1, 1, 128, 192) * 100).shape == (1, 2, 128, 192)


def test_the_legacy_classifier_is_dropped_and_nothing_else() -> None:
    state = ddcolor_state("ddcolor_tiny", "S")
    legacy = {"encoder.arch.head_cls.weight": torch.zeros(4, 768), "encoder.arch.head_cls.bias": torch.zeros(4)}
    ddcolor_tiny().load_weights(state | legacy)
    with pytest.raises(WeightsError, match="decoder.surprise"):
        ddcolor_tiny().load_weights(state | {"decoder.surprise": torch.zeros(1)})
    state.pop("refine_net.0.0.bias")
    with pytest.raises(WeightsError, match="refine.bias"):
        ddcolor_tiny().load_weights(state)


def test_weights_of_the_other_size_are_refused() -> None:
    with pytest.raises(WeightsError):
        ddcolor_mini().load_weights(ddcolor_state("ddcolor_tiny", "S"))


def test_save_and_load_with_and_without_folding() -> None:
    model = ddcolor_mini().eval()
    lightness = torch.rand(1, 1, 64, 64) * 100
    trained = model.state_dict()
    expected = model(lightness)
    model.prepare_for_inference()
    for state in (trained, model.state_dict()):
        copy = ddcolor_mini()
        copy.load_weights(state)
        copy.prepare_for_inference()
        assert (copy(lightness) - expected).abs().max() < 1e-5


def test_hints_are_refused() -> None:
    with pytest.raises(HintsError):
        ddcolor_mini()(torch.zeros(1, 1, 32, 32), Hints(torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32)))


def test_pipeline_agrees_with_the_official_one_up_to_opencv() -> None:
    """The official pipeline takes OpenCV's Lab, which is approximate (up to 0.45), and nearest neighbour for chroma."""
    golden = np.load(GOLDENS / "ddcolor_pipeline.npz")
    size = int(golden["input_size"])
    photo = np.ascontiguousarray(golden["image_bgr"][..., ::-1])
    small = Preprocessing(crop="none", size=size, resample="opencv-bilinear").apply(Image.fromarray(photo))
    gray = gray_rgb(rgb_to_lab(torch.from_numpy(small).permute(2, 0, 1)[None])[:, :1])
    assert (gray - torch.from_numpy(golden["gray"])).abs().max() < 6e-3

    lightness = rgb_to_lab(torch.from_numpy(photo).permute(2, 0, 1)[None])[:, :1]
    ab = nn.functional.interpolate(torch.from_numpy(golden["ab"]), photo.shape[:2])
    output = to_uint8(join(lightness, ab))[0].permute(1, 2, 0).numpy().astype(int)
    difference = np.abs(output - golden["output_bgr"][..., ::-1])
    assert difference.max() <= 4
    assert difference.mean() < 0.4
