"""Learned perceptual image patch similarity (Zhang et al. 2018), by its authors' package, version 0.1."""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor, nn

from bench.metrics.backbones import fill, read_backbone
from bench.metrics.base import PairMetric

_CHUNK = 16  # images per pass: bounds the memory of VGG's features


def lpips_network(net: Literal["alex", "vgg"], backbone: str) -> nn.Module:
    """The package's network with its linear heads, on a torchvision backbone read from disk.

    Raises:
        WeightsError: the backbone is absent or damaged.
    """
    import lpips

    state = read_backbone(backbone)
    # The package draws random weights with a deprecated call before it is filled: neither is the user's business.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net=net, version="0.1", pnet_rand=True, verbose=False)
    # ``slice3.7.weight`` of the package is ``features.7.weight`` of torchvision.
    theirs = {key: "features." + key.split(".", 1)[1] for key in network.net.state_dict()}
    fill(network.net, {key: state[name] for key, name in theirs.items() if name in state}, backbone)
    return network.eval().requires_grad_(False)


class LPIPS(PairMetric):
    """Mean of the LPIPS distance of each image to its original.

    Args:
        number: its name.
        net: the package's name of the backbone.
        backbone: its name in ``bench.weights``.

    Raises:
        WeightsError: the backbone is absent or damaged.
    """

    def __init__(self, number: str, net: Literal["alex", "vgg"], backbone: str) -> None:
        super().__init__(number)
        self.network = lpips_network(net, backbone)

    def compare(self, prediction: Tensor, target: Tensor) -> Tensor:
        chunks = zip(prediction.split(_CHUNK), target.split(_CHUNK), strict=True)
        return torch.cat([self.network(_signed(p), _signed(t)).flatten() for p, t in chunks])

    def train(self, mode: bool = True) -> LPIPS:
        """The network always measures in eval mode."""
        return super().train(False)


def _signed(images: Tensor) -> Tensor:
    """uint8 -> [-1, 1], the range the package expects."""
    return images.float() / 127.5 - 1


class LPIPSAlex(LPIPS):
    """LPIPS on AlexNet: the package's default."""

    def __init__(self) -> None:
        super().__init__("lpips_alex", "alex", "alexnet")


class LPIPSVgg(LPIPS):
    """LPIPS on VGG16: what CT2 and iColoriT report."""

    def __init__(self) -> None:
        super().__init__("lpips_vgg", "vgg", "vgg16")
