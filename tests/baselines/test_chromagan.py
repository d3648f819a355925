from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor

from baselines.chromagan import ChromaGAN, chromagan, conv_norm
from bench.colorizer import Hints
from bench.errors import HintsError
from bench.registry import card_of


@pytest.fixture(scope="module")
def model() -> ChromaGAN:
    """Full size but for the class head, three quarters of the network."""
    torch.manual_seed(0)
    return chromagan(classes=10, hidden=16).eval()


def convolution(inputs: int, outputs: int, side: int = 3) -> int:
    return outputs * (inputs * side**2 + 1)


def test_parameters_are_those_of_the_published_layers() -> None:
    vgg = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
    vgg += [(256, 512), (512, 512), (512, 512)]
    trunk = sum(convolution(a, b) for a, b in vgg)
    branches = 5 * (convolution(512, 512) + 2 * 512) + convolution(512, 256) + 2 * 256
    dense = [(512 * 7 * 7, 1024), (1024, 512), (512, 256), (512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)]
    decoder = [(256, 128), (128, 64), (64, 64), (64, 32), (32, 2)]
    total = trunk + branches + sum((a + 1) * b for a, b in dense)
    total += convolution(512, 256, side=1) + sum(convolution(a, b) for a, b in decoder)
    with torch.device("meta"):
        model = chromagan()
    assert sum(p.numel() for p in model.parameters()) == total == card_of("chromagan").parameters
    head = sum(p.numel() for p in model.classifier.parameters())
    assert f"{head:,} of the parameters are the class head" in card_of("chromagan").note
    assert card_of("chromagan").weights == ()


def test_the_trunk_takes_weights_of_vgg16(model: ChromaGAN) -> None:
    with torch.device("meta"):
        features = torchvision.models.vgg16(weights=None).features[:23]
    assert [(k, t.shape) for k, t in features.state_dict().items()] == [
        (k, t.shape) for k, t in model.trunk.state_dict().items()
    ]
    assert [type(m) for m in features] == [type(m) for m in model.trunk]


@torch.inference_mode()
def test_strided_convolutions_pad_as_keras_does() -> None:
    """'same' at stride 2 on an even side: the first output sees rows 0 to 2, the last one row of padding."""
    conv = conv_norm(1, 1, stride=2).eval()[:2]
    torch.nn.init.ones_(conv[1].weight)
    torch.nn.init.zeros_(conv[1].bias)
    rows = torch.arange(28.0).view(1, 1, 28, 1).expand(1, 1, 28, 28)
    found = conv(rows)[0, 0, :, 0] / 3
    assert found.tolist() == [3.0 + 6 * i for i in range(13)] + [26 + 27]


@torch.inference_mode()
@pytest.mark.parametrize("size", [(64, 96), (224, 224), (72, 40)])
def test_any_multiple_of_8(model: ChromaGAN, size: tuple[int, int]) -> None:
    ab = model(torch.rand(2, 1, *size) * 100)
    assert ab.shape == (2, 2, *size)
    assert -128 <= float(ab.min()) < float(ab.max()) <= 127


@torch.inference_mode()
def test_at_224_nothing_is_pooled(model: ChromaGAN) -> None:
    features = model.features(torch.rand(1, 1, 224, 224) * 100)
    assert features.shape == (1, 512, 28, 28)
    assert torch.equal(model.semantics(features), model.semantic(features).flatten(1))


@torch.inference_mode()
def test_each_image_is_coloured_by_its_own_content(model: ChromaGAN) -> None:
    lightness = torch.rand(2, 1, 64, 64) * 100
    together = model(lightness)
    assert (torch.cat([model(image[None]) for image in lightness]) - together).abs().max() < 1e-3
    # The global branch reaches everywhere: a change in one corner shows in the opposite one.
    changed = lightness.clone()
    changed[:, :, :8, :8] = 0
    assert not torch.equal(model(changed)[:, :, -8:, -8:], together[:, :, -8:, -8:])


def test_colours_are_opencvs_bytes(model: ChromaGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(features: Tensor, semantics: Tensor) -> Tensor:
        return torch.full((1, 2, 64, 64), 128 / 255)

    monkeypatch.setattr(model, "colour", half)
    np.testing.assert_allclose(model(torch.zeros(1, 1, 64, 64)).numpy(), 0, atol=1e-4)


def test_every_parameter_learns_from_colour_and_class() -> None:
    model = chromagan(classes=10, hidden=16)
    features = model.features(torch.rand(2, 1, 64, 64) * 100)
    semantics = model.semantics(features)
    logits = model.class_logits(semantics)
    assert logits.shape == (2, 10)
    (model.colour(features, semantics).mean() + logits.log_softmax(dim=1)[:, 0].mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


def test_hints_are_refused(model: ChromaGAN) -> None:
    with pytest.raises(HintsError):
        model(torch.zeros(1, 1, 64, 64), Hints(torch.zeros(1, 2, 64, 64), torch.zeros(1, 1, 64, 64)))
