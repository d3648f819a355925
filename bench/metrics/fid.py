"""Fréchet Inception distance: the standard one, and two legacy variants behind published colorization tables.

None of the three is comparable with another: networks and input scales differ.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception_v3

from bench.metrics.backbones import fill, read_backbone
from bench.metrics.frechet import FrechetMetric

_SIDE = 299
_FEATURES = 2048
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def tensorflow_layout() -> nn.Module:
    """The untrained network that pytorch-fid's file fits; pytorch-fid's own class insists on a download."""
    from pytorch_fid.inception import FIDInceptionA, FIDInceptionC, FIDInceptionE_1, FIDInceptionE_2

    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    network.Mixed_5b = FIDInceptionA(192, pool_features=32)
    network.Mixed_5c = FIDInceptionA(256, pool_features=64)
    network.Mixed_5d = FIDInceptionA(288, pool_features=64)
    network.Mixed_6b = FIDInceptionC(768, channels_7x7=128)
    network.Mixed_6c = FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6d = FIDInceptionC(768, channels_7x7=160)
    network.Mixed_6e = FIDInceptionC(768, channels_7x7=192)
    network.Mixed_7b = FIDInceptionE_1(1280)
    network.Mixed_7c = FIDInceptionE_2(2048)
    return network


def tensorflow_inception() -> nn.Sequential:
    """TensorFlow's Inception of 2015 as ported by pytorch-fid: (B, 3, 299, 299) in [-1, 1] -> (B, 2048).

    Raises:
        WeightsError: its weights are absent or damaged.
    """
    state = read_backbone("inception-fid")
    return _up_to_pool(fill(tensorflow_layout(), state, "inception-fid"))


def torchvision_inception() -> nn.Sequential:
    """torchvision's ImageNet classifier (``inception_v3_google-1a9a5a14``): (B, 3, 299, 299) -> (B, 2048).

    Raises:
        WeightsError: its weights are absent or damaged.
    """
    state = read_backbone("inception-torchvision")
    network = inception_v3(weights=None, init_weights=False)
    return _up_to_pool(fill(network, state, "inception-torchvision"))


def _up_to_pool(network: nn.Module) -> nn.Sequential:
    """The trunk of an Inception v3, from the image to its global average pool."""
    head = {"AuxLogits", "dropout", "fc"}
    trunk = OrderedDict((name, layer) for name, layer in network.named_children() if name not in head)
    return nn.Sequential(OrderedDict(**trunk, flatten=nn.Flatten()))


class InceptionMetric(FrechetMetric):
    """Fréchet distance between Inception's pool features of uint8 RGB, resized bilinearly without antialiasing.

    Args:
        number: the name of the distance.
        network: builds the extractor.
        batch_size: see ``FrechetMetric``.
    """

    def __init__(self, number: str, network: Callable[[], nn.Module], batch_size: int | None) -> None:
        super().__init__(number, _FEATURES, batch_size)
        self.network = network()

    def prepare(self, images: Tensor) -> Tensor:
        unit = images.float() / 255
        return self.scale(F.interpolate(unit, (_SIDE, _SIDE), mode="bilinear", align_corners=False))

    def scale(self, unit: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> the range the variant gives its network."""
        return 2 * unit - 1

    def features(self, prepared: Tensor) -> Tensor:
        found: Tensor = self.network(prepared)
        return found

    def train(self, mode: bool = True) -> InceptionMetric:
        """Inception always measures in eval mode."""
        return super().train(False)


class FID(InceptionMetric):
    """FID as pytorch-fid defines it (Heusel et al. 2017, TensorFlow's network).

    Raises:
        WeightsError: the weights are absent or damaged.
    """

    def __init__(self, batch_size: int | None = None) -> None:
        super().__init__("fid", tensorflow_inception, batch_size)


class FIDct2(InceptionMetric):
    """FID as the script of CT2 computes it (shuchenweng/CT2, segm/metrics.py).

    torchvision's ImageNet network; bytes of the saved PNG in [0, 1] are scaled per channel by std / 0.5 and shifted by
    (mean - 0.5) / 0.5, which is right only for input that was normalised by ImageNet's mean and std before; covariance
    over n - 1. The script also prints a variant against originals that went through 8-bit Lab; this is the other one.

    Raises:
        WeightsError: the weights are absent or damaged.
    """

    gain: Tensor
    shift: Tensor

    def __init__(self, batch_size: int | None = None, number: str = "fid_ct2") -> None:
        super().__init__(number, torchvision_inception, batch_size)
        self.register_buffer("gain", 2 * torch.tensor(_IMAGENET_STD).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", 2 * torch.tensor(_IMAGENET_MEAN).view(3, 1, 1) - 1, persistent=False)

    def scale(self, unit: Tensor) -> Tensor:
        return unit * self.gain + self.shift


class FIDddcolor(FIDct2):
    """FID as the validation of DDColor computes it (piddnad/DDColor, basicsr/metrics/custom_fid.py).

    The network of CT2, which halves its input and adds 0.5 because CT2 gives it [-1, 1]; DDColor gives it [0, 1], so
    the images arrive in [0.5, 1] before the scaling described at ``FIDct2``. One deviation is left: DDColor measures
    the network's float output, here it is rounded to uint8 as for all metrics. Whether the paper's tables used this
    code or CT2's is not known.

    Raises:
        WeightsError: the weights are absent or damaged.
    """

    def __init__(self, batch_size: int | None = None) -> None:
        super().__init__(batch_size, "fid_ddcolor")

    def scale(self, unit: Tensor) -> Tensor:
        return super().scale(unit * 0.5 + 0.5)
