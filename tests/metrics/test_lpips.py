from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import lpips
import numpy as np
import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from torch import Tensor, nn

from bench import weights
from bench.errors import WeightsError
from bench.metrics.lpips import LPIPS, LPIPSAlex, LPIPSVgg

NETS = [
    pytest.param("alex", "alexnet", torchvision.models.alexnet, LPIPSAlex, id="alex"),
    pytest.param("vgg", "vgg16", torchvision.models.vgg16, LPIPSVgg, id="vgg"),
]


def filled(network: nn.Module) -> nn.Module:
    """He-scaled weights from a fixed seed, so that every layer matters."""
    generator = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        spread = (2 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.1
        parameter.data.normal_(0, spread, generator=generator)
    return network


def place(monkeypatch: pytest.MonkeyPatch, path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, path)
    monkeypatch.setattr(weights, "find_backbone", lambda name: path)


def trunk(make: Callable[..., nn.Module]) -> nn.Module:
    """The network without its classifier, which no one uses and which is most of its size."""
    network = make(weights=None, **({"init_weights": False} if make is torchvision.models.vgg16 else {}))
    network.classifier = nn.Identity()
    return filled(network)


@pytest.mark.parametrize(("net", "attribute", "make", "metric_class"), NETS)
def test_agrees_with_the_package(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    photos: Tensor,
    noisy: Tensor,
    net: str,
    attribute: str,
    make: Callable[..., nn.Module],
    metric_class: Callable[[], LPIPS],
) -> None:
    network = trunk(make)
    place(monkeypatch, tmp_path / "backbone.pth", network.state_dict())
    rng = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric = metric_class()
    assert torch.equal(torch.get_rng_state(), rng)
    assert capsys.readouterr() == ("", "")

    monkeypatch.setattr(lpips.pretrained_networks.tv, attribute, lambda pretrained: network)
    package = lpips.LPIPS(net=net, version="0.1", verbose=False)
    prediction, target = noisy[-20:, :, :40, :40], photos[-20:, :, :40, :40]
    with torch.no_grad():
        expected = package(prediction / 255, target / 255, normalize=True).flatten().numpy()
    found = metric.measure(prediction, target)[metric.numbers[0]].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert expected.min() > 1e-3
    assert metric.measure(target[:2], target[:2])[metric.numbers[0]].tolist() == [0, 0]


def test_a_file_of_another_network_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place(monkeypatch, tmp_path / "backbone.pth", {"features.0.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"backbone.pth does not fit.*bench weights fetch alexnet"):
        LPIPSAlex()
