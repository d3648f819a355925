from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
import torchvision
from filled import fan_in_state, key_table
from torch import Tensor, nn

from baselines.pix2pix_resnet18 import CARDS, ResNetUNet, pix2pix_resnet18, pix2pix_resnet18_mini
from bench.colorizer import Hints
from bench.errors import HintsError, WeightsError
from bench.registry import ModelCard


def torchvision_features(encoder: nn.Module, x: Tensor) -> list[Tensor]:
    """Features at strides 2, 4, 8, 16, 32 of a torchvision ResNet."""
    stem = encoder.relu(encoder.bn1(encoder.conv1(x)))
    features = [stem, encoder.layer1(encoder.maxpool(stem))]
    for layer in (encoder.layer2, encoder.layer3, encoder.layer4):
        features.append(layer(features[-1]))
    return features


def dynamic_unet(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """fastai's graph, from its own keys: torchvision's encoder, the rest as functions."""
    encoder = torchvision.models.resnet18()
    encoder.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    parts = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
    renamed = {}
    for key, tensor in state.items():
        if key.startswith("layers.0."):
            _, _, part, rest = key.split(".", 3)
            renamed[f"{parts[part]}.{rest}"] = tensor
    assert encoder.load_state_dict(renamed, strict=False).missing_keys == ["fc.weight", "fc.bias"]
    *skips, y = torchvision_features(encoder.eval(), x)

    def conv(y: Tensor, key: str) -> Tensor:
        weight = state[f"layers.{key}.weight"]
        return F.conv2d(y, weight, state[f"layers.{key}.bias"], padding=weight.shape[-1] // 2)

    def norm(y: Tensor, key: str) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(y, *(state[f"layers.{key}.{name}"] for name in names))

    y = conv(conv(norm(y, "1").relu(), "3.0.0").relu(), "3.1.0").relu()
    for layer, skip in zip("4567", reversed(skips), strict=True):
        up = F.pixel_shuffle(conv(y, f"{layer}.shuf.0.0").relu(), 2)
        up = F.interpolate(up, skip.shape[-2:], mode="nearest")
        y = torch.cat((up, norm(skip, f"{layer}.bn")), dim=1).relu()
        y = conv(conv(y, f"{layer}.conv1.0").relu(), f"{layer}.conv2.0").relu()
    y = F.interpolate(F.pixel_shuffle(conv(y, "8.0.0").relu(), 2), x.shape[-2:], mode="nearest")
    y = torch.cat((y, x), dim=1)
    y = (conv(conv(y, "11.convpath.0.0").relu(), "11.convpath.1.0") + y).relu()
    return conv(y, "12.0")


@pytest.fixture(scope="module")
def fastai_state() -> dict[str, Tensor]:
    return fan_in_state("resnet18_dynamicunet")


@pytest.fixture(scope="module")
def full(fastai_state: dict[str, Tensor]) -> ResNetUNet:
    model = pix2pix_resnet18()
    model.load_weights(fastai_state)
    model.prepare_for_inference()
    return model


@torch.inference_mode()
@pytest.mark.parametrize("size", [(128, 128), (70, 101)])
def test_agrees_with_the_dynamic_unet(full: ResNetUNet, fastai_state: dict[str, Tensor], size: tuple[int, int]) -> None:
    lightness = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1)) * 100
    expected = dynamic_unet(fastai_state, lightness / 50 - 1) * 110
    assert expected.std() > 1
    assert ((full(lightness) - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize(("build", "card"), zip((pix2pix_resnet18, pix2pix_resnet18_mini), CARDS, strict=True))
def test_cards_tell_the_truth(build: Callable[[], ResNetUNet], card: ModelCard) -> None:
    model = build()
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == card.parameters
    assert model.working_size == card.working_size
    assert "mini" not in card.name or 1.0e6 <= parameters <= 1.4e6


def test_the_whole_tutorial_model_loads(full: ResNetUNet, fastai_state: dict[str, Tensor]) -> None:
    whole = {f"net_G.{key}": tensor for key, tensor in fastai_state.items()}
    whole |= {f"net_D.{key}": torch.zeros(shape) for key, shape in key_table("patchgan70_nested").items()}
    whole |= {"GANcriterion.real_label": torch.tensor(1.0), "GANcriterion.fake_label": torch.tensor(0.0)}
    model = pix2pix_resnet18()
    model.load_weights(whole)
    theirs, ours = full.state_dict(), model.state_dict()
    assert len(ours) == len(fastai_state)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_wrong_weights_are_refused(fastai_state: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError):
        pix2pix_resnet18_mini().load_weights(fastai_state)
    state = dict(fastai_state)
    state["layers.13.0.bias"] = state.pop("layers.12.0.bias")
    with pytest.raises(WeightsError, match=r"head\.bias.*layers\.13\.0\.bias"):
        pix2pix_resnet18().load_weights(state)


@torch.inference_mode()
def test_an_imagenet_encoder_sees_gray_as_three_equal_channels() -> None:
    torch.manual_seed(0)
    classifier = torchvision.models.resnet18().eval()
    model = pix2pix_resnet18()
    model.load_imagenet_encoder(classifier.state_dict())
    image = torch.rand(1, 1, 64, 96)
    features = model.eval().encoder(image)
    for ours, theirs in zip(features, torchvision_features(classifier, image.repeat(1, 3, 1, 1)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_another_imagenet_encoder_is_refused() -> None:
    with pytest.raises(WeightsError, match="encoder"):
        pix2pix_resnet18().load_imagenet_encoder(torchvision.models.resnet34().state_dict())
    with pytest.raises(WeightsError, match="encoder"):
        pix2pix_resnet18_mini().load_imagenet_encoder(torchvision.models.resnet18().state_dict())


@torch.inference_mode()
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (128, 96), (1, 1)])
def test_any_size(size: tuple[int, int]) -> None:
    model = pix2pix_resnet18_mini()
    model.prepare_for_inference()
    lightness = torch.rand(2, 1, *size) * 100
    output = model(lightness)
    assert output.shape == (2, 2, *size)
    assert torch.allclose(output[1:], model(lightness[1:]), atol=1e-3)


def test_gradients_are_finite() -> None:
    model = pix2pix_resnet18_mini()
    model(torch.rand(2, 1, 64, 64) * 100).abs().mean().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())


def test_shuffles_start_without_a_checkerboard() -> None:
    weight = pix2pix_resnet18_mini().blocks[0].shuffle.conv.weight.unflatten(0, (-1, 4))
    assert torch.equal(weight[:, :1].expand_as(weight), weight)
    assert weight.std() > 0


def test_hints_and_odd_widths_are_refused() -> None:
    with pytest.raises(HintsError):
        pix2pix_resnet18_mini()(torch.zeros(1, 1, 32, 32), Hints(torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32)))
    with pytest.raises(ValueError, match="widths"):
        ResNetUNet(widths=(10, 20, 40, 80))
