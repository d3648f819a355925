from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pytorch_fid.inception
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception_v3  # type: ignore[import-untyped]

from bench import weights
from bench.errors import WeightsError
from bench.metrics.fid import FID, FIDct2, FIDddcolor


def filled(network: nn.Module) -> dict[str, Tensor]:
    """He-scaled weights and uneven batch statistics from a fixed seed, so that every layer matters."""
    generator = torch.Generator().manual_seed(7)
    state = network.state_dict()
    for key, value in state.items():
        if not value.is_floating_point():
            continue
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim > 1:
            state[key] = noise * (2 / value[0].numel()) ** 0.5
        elif key.endswith(("weight", "running_var")):
            state[key] = 1 + 0.1 * noise.abs()
        else:
            state[key] = 0.1 * noise
    return state


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("backbones")
    networks = {
        "inception-fid": inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False),
        "inception-torchvision": inception_v3(weights=None, init_weights=False),
    }
    for name, network in networks.items():
        torch.save(filled(network), folder / f"{name}.pth")
    return {name: folder / f"{name}.pth" for name in networks}


@pytest.fixture
def backbones(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]) -> dict[str, Path]:
    monkeypatch.setattr(weights, "find_backbone", files.__getitem__)
    return files


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path]) -> nn.Module:
    """pytorch-fid's own network with the same weights."""
    state = torch.load(files["inception-fid"])
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda url, progress: state)
    return pytorch_fid.inception.InceptionV3().eval()


@torch.no_grad()
def reference_features(network: nn.Module, images: Tensor) -> np.ndarray:
    return network(images / 255)[0].flatten(1).double().numpy()


@torch.no_grad()
def test_features_are_those_of_pytorch_fid(
    backbones: dict[str, Path], reference: nn.Module, photos: Tensor, noisy: Tensor
) -> None:
    images = torch.cat((photos[:2], noisy[-1:]))
    metric = FID()
    found = metric.features(metric.prepare(images)).double().numpy()
    expected = reference_features(reference, images)
    assert found.shape == (3, 2048)
    assert np.abs(expected[0] - expected[1]).mean() > 0.05 * np.abs(expected).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).mean())


@pytest.mark.slow
def test_the_distance_is_that_of_pytorch_fid(
    backbones: dict[str, Path], reference: nn.Module, photos: Tensor, noisy: Tensor
) -> None:
    prediction, target = noisy[-6:], photos[:6]
    metric = FID(batch_size=4)
    for p, t in zip(prediction.split(5), target.split(5), strict=True):
        metric.update(p, t)
    x, y = reference_features(reference, prediction), reference_features(reference, target)
    # Within the 12 dimensions that 12 images span: in all 2048, the square root of so singular a matrix is inaccurate.
    basis = np.linalg.svd(np.concatenate((x, y)), full_matrices=False)[2].T
    x, y = x @ basis, y @ basis
    moments = (x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    assert metric.compute()["fid"].item() == pytest.approx(pytorch_fid_distance(*moments), rel=1e-4)


def pytorch_fid_distance(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """pytorch-fid's function, or the same formula where SciPy (1.18) no longer has the call it needs."""
    from pytorch_fid.fid_score import calculate_frechet_distance

    try:
        return float(calculate_frechet_distance(mean1, cov1, mean2, cov2))
    except TypeError:
        root = scipy.linalg.sqrtm(cov1 @ cov2)
        return float(np.sum((mean1 - mean2) ** 2) + np.trace(cov1 + cov2) - 2 * np.trace(root).real)


@pytest.mark.parametrize(("metric_class", "lowest"), [(FIDct2, 0.0), (FIDddcolor, 0.5)])
@torch.no_grad()
def test_legacy_variants_rescale_once_too_often(
    backbones: dict[str, Path], photos: Tensor, metric_class: type[FIDct2], lowest: float
) -> None:
    """torchvision itself rescales ImageNet-normalised input when told to; the scripts feed it [0, 1] or [0.5, 1]."""
    network = inception_v3(weights=None, init_weights=False, transform_input=True)
    network.load_state_dict(torch.load(backbones["inception-torchvision"]))
    network.fc = nn.Identity()
    unit = F.interpolate(photos[:2] / 255, (299, 299), mode="bilinear", align_corners=False)
    expected = network.eval()(lowest + unit * (1 - lowest)).numpy()
    metric = metric_class()
    found = metric.features(metric.prepare(photos[:2])).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).mean())
    assert metric.numbers == ("fid_ct2" if lowest == 0 else "fid_ddcolor",)


def test_measuring_ignores_train_mode(backbones: dict[str, Path]) -> None:
    assert not any(module.training for module in FID().train().network.modules())


def test_weights_of_another_inception_are_refused(backbones: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_backbone", lambda name: backbones["inception-torchvision"])
    with pytest.raises(WeightsError, match=r"inception-torchvision.pth does not fit.*fetch inception-fid"):
        FID()
