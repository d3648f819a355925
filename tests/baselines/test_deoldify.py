from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
from filled import GOLDENS, generator, key_table, normal
from skimage.color import rgb2lab
from torch import Tensor

from baselines.deoldify import DeOldify, deoldify_artistic, deoldify_stable, from_official
from bench.color import gray_rgb
from bench.colorizer import Hints
from bench.errors import HintsError, WeightsError
from bench.registry import card_of

OFFICIAL = {
    "deoldify_artistic": (deoldify_artistic, "deoldify"),
    "deoldify_stable": (deoldify_stable, "deoldify-stable"),
}


def official_state(name: str) -> dict[str, Tensor]:
    """The rule behind the goldens: He-scaled weights, attention at one half, spectral-norm v the matching W^T u."""
    table = key_table(name)
    state: dict[str, np.ndarray] = {}
    for key, shape in table.items():
        last = key.rsplit(".", 1)[-1]
        if last == "num_batches_tracked":
            state[key] = np.zeros(shape, np.int64)
            continue
        if last == "weight_v" and key.removesuffix("v") + "g" not in table:
            continue
        n = normal(key, shape)
        if last == "weight_u":
            u = n.astype(np.float64)
            state[key] = (u / np.linalg.norm(u)).astype(np.float32)
        elif len(shape) >= 2 and last != "weight_g":
            state[key] = n * np.float32(math.sqrt(2 / math.prod(shape[1:])))
        elif last == "running_var":
            state[key] = np.float32(1) + np.float32(0.02) * np.abs(n)
        else:
            # Where the signal would grow out of bounds its gain is small, so that the last sigmoid is not saturated.
            low = key.endswith(("weight_g", "bn3.weight"))
            offset = 0.3 if low else {"weight": 1, "gamma": 0.5}.get(last, 0)
            state[key] = np.float32(offset) + np.float32(0.02) * n
    for key in table:
        if key not in state:
            stem = key.removesuffix("_v")
            weight = state[stem + "_orig"].astype(np.float64)
            v = weight.reshape(len(weight), -1).T @ state[stem + "_u"].astype(np.float64)
            state[key] = (v / np.linalg.norm(v)).astype(np.float32)
    return {key: torch.from_numpy(state[key]).reshape(shape) for key, shape in table.items()}


@pytest.mark.slow
@torch.inference_mode()
@pytest.mark.parametrize("name", OFFICIAL)
def test_agrees_with_a_transcription_of_the_official_network(name: str) -> None:
    """The goldens come from the original's graph and fastai's layers, copied out by hand and run apart.

    At 80 x 112, where the encoder rounds up (2.5 x 3.5 at stride 32), as it does at the original's 560.
    """
    model = OFFICIAL[name][0]()
    model.load_weights(official_state(name))
    golden = np.load(GOLDENS / f"{name}.npz")
    gray = torch.from_numpy(generator("input").uniform(0, 1, (1, 1, 80, 112)).astype(np.float32))
    rgb = (gray.expand(1, 3, 80, 112) - model.mean) / model.std
    for prepare in (model.eval, model.prepare_for_inference):  # the latter folds the norms
        prepare()
        output = model.network(rgb)
        assert np.abs(output[:, :, ::2, ::2].numpy() - golden["output_sub"]).max() < 1e-5
        stats = [output.mean(), output.std(correction=0), output.min(), output.max()]
        np.testing.assert_allclose(stats, golden["output_stats"], atol=1e-5)


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_keys_and_parameters(name: str) -> None:
    build, registered = OFFICIAL[name]
    with torch.device("meta"):
        model = build()
    state = {key: torch.empty(shape, device="meta") for key, shape in key_table(name).items()}
    mapped = {key: tensor.shape for key, tensor in from_official(state).items()}
    assert mapped == {key: tensor.shape for key, tensor in model.state_dict().items()}
    assert sum(p.numel() for p in model.parameters()) == card_of(registered).parameters


def small(**options: object) -> DeOldify:
    torch.manual_seed(0)
    return DeOldify(**{"backbone": "resnet18", "factor": 0.125} | options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "factor"), [(560, None), (336, 21)])
def test_working_size_is_16_times_the_render_factor(size: int, factor: int | None) -> None:
    with torch.device("meta"):
        assert small(**({"render_factor": factor} if factor else {})).working_size == size
    assert card_of("deoldify").working_size == card_of("deoldify-stable").working_size == 560


@torch.inference_mode()
@pytest.mark.parametrize("design", ["deep", "wide"])
@pytest.mark.parametrize("size", [(32, 32), (48, 80), (16, 112)])
def test_any_multiple_of_16(size: tuple[int, int], design: str) -> None:
    assert small(design=design).eval()(torch.rand(2, 1, *size) * 100).shape == (2, 2, *size)


@torch.inference_mode()
def test_chroma_is_that_of_the_original_merge() -> None:
    """OpenCV's YUV, called with RGB in the place of BGR as the original does, then scikit-image's CIELAB."""
    model = small().eval()
    lightness = torch.rand(1, 1, 32, 48) * 100
    painted = model.paint(lightness).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    gray = gray_rgb(lightness)[0].permute(1, 2, 0).numpy().copy()
    yuv, original = (cv2.cvtColor(image, cv2.COLOR_BGR2YUV) for image in (painted, gray))
    merged = cv2.cvtColor(np.concatenate((original[..., :1], yuv[..., 1:]), axis=-1), cv2.COLOR_YUV2BGR)
    expected = rgb2lab(merged.clip(0, 1))[..., 1:]
    found = model(lightness)[0].permute(1, 2, 0).numpy()
    assert np.abs(expected).max() > 5
    assert np.abs(found - expected).max() < 0.1  # OpenCV rounds its coefficients to three digits


@torch.inference_mode()
def test_saved_weights_load_with_and_without_folding() -> None:
    model = small().eval()
    lightness = torch.rand(1, 1, 32, 32) * 100
    trained, expected = model.state_dict(), model(lightness)
    model.prepare_for_inference()
    assert not any("parametrizations" in key for key in model.state_dict())
    for state in (trained, model.state_dict()):
        copy = small()
        copy.load_weights(state)
        copy.prepare_for_inference()
        assert (copy(lightness) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("design", ["deep", "wide"])
def test_every_parameter_learns(design: str) -> None:
    model = small(design=design)
    torch.nn.init.constant_(model.blocks[1].convs[-1].attention.gamma, 0.5)  # at its initial 0 its inputs learn nothing
    model.paint(torch.rand(2, 1, 64, 64) * 100).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


def test_mistakes_are_named() -> None:
    model = small()
    with pytest.raises(WeightsError, match=r"layers\.12\.surprise"):
        model.load_weights({"layers.0.0.weight": torch.zeros(64, 3, 7, 7), "layers.12.surprise": torch.zeros(1)})
    with pytest.raises(HintsError):
        model(torch.zeros(1, 1, 32, 32), Hints(torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32)))
    with pytest.raises(ValueError, match="deep or wide"):
        DeOldify(design="tall")  # type: ignore[arg-type]
