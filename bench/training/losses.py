"""Losses that several recipes share. All are means over the batch, unless they say otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg16_bn

from bench.errors import WeightsError
from bench.metrics.backbones import fill, read_backbone

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def adversarial(logits: Tensor, real: bool, label: float = 1.0) -> Tensor:
    """Vanilla GAN: binary cross-entropy of every logit to ``label`` (real) or 0."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label if real else 0.0))


def colourfulness(rgb: Tensor, signed: bool = False) -> Tensor:
    """Colourfulness of Hasler and Suesstrunk (Human Vision and Electronic Imaging 2003), unbiased standard deviations.

    Args:
        rgb: (B, 3, H, W) sRGB in [0, 1].
        signed: opponents as they defined them; False: their absolute values, as DDColor's code and what is measured.

    Returns:
        (B,); 1/255 of what RGB in 0..255 would give: of ``cf``, if not signed.
    """
    red, green, blue = rgb.unbind(dim=1)
    rg, yb = (red - green).flatten(1), ((red + green) / 2 - blue).flatten(1)
    if not signed:
        rg, yb = rg.abs(), yb.abs()
    # The small number keeps the gradient of the root finite on gray images.
    spread = (rg.var(dim=1) + yb.var(dim=1) + 1e-8).sqrt()
    return spread + 0.3 * (rg.mean(dim=1).square() + yb.mean(dim=1).square() + 1e-8).sqrt()


class PerceptualLoss(nn.Module):
    """Weighted L1 distance between VGG16-BN features at the first convolution of each of its five stages, taken before
    batch norm and ReLU, as DDColor's code does.

    Args:
        weights: of the five stages.

    Raises:
        WeightsError: the ImageNet weights are absent; the text says how to get them or do without.
    """

    mean: Tensor
    std: Tensor
    taken = (0, 7, 14, 24, 34)  # convolutions conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1

    def __init__(self, weights: Sequence[float] = (0.0625, 0.125, 0.25, 0.5, 1.0)) -> None:
        super().__init__()
        network = vgg16_bn(weights=None)
        try:
            fill(network, read_backbone("vgg16_bn"), "vgg16_bn")
        except WeightsError as error:
            raise WeightsError(
                f"the perceptual loss needs ImageNet weights. {error} To train without this term: "
                "--set recipe.losses.perceptual=0."
            ) from error
        self.layers = network.features[: self.taken[-1] + 1].eval().requires_grad_(False)
        self.weights = tuple(weights)
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(3, 1, 1), persistent=False)

    def features(self, rgb: Tensor) -> list[Tensor]:
        """(B, 3, H, W) sRGB in [0, 1] -> features of the five stages."""
        x = (rgb - self.mean) / self.std
        found = []
        for index, layer in enumerate(self.layers):
            # Features must survive the in-place ReLU behind the batch norm.
            x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
            if index in self.taken:
                found.append(x)
        return found

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Both (B, 3, H, W) sRGB in [0, 1] -> scalar; the gradient reaches ``prediction`` alone."""
        with torch.no_grad():
            wanted = self.features(target)
        found = self.features(prediction)
        return torch.stack([w * F.l1_loss(f, t) for w, f, t in zip(self.weights, found, wanted, strict=True)]).sum()
