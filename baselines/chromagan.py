"""ChromaGAN: adversarial picture colorization with semantic class distribution (Vitoria, Raad, Ballester, WACV 2020).

arXiv 1907.09837. The trunk of VGG16 feeds two branches, a local one and a global one that also guesses what is in the
picture; their features meet at a stride of 8 and become chroma. A new implementation of the published layer list.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.colorizer import Colorizer, Generator, Hints
from bench.registry import ModelCard

CARDS = (
    ModelCard(
        name="chromagan",
        family="chromagan",
        title="ChromaGAN",
        year=2020,
        paper="arXiv:1907.09837",
        repository="https://github.com/pvitoria/ChromaGAN",
        parameters=171_166_090,
        macs=18_835_521_536,
        licence="AGPL-3.0-or-later",
        working_size=224,
        note="Written anew in PyTorch from the layer list; the original is Keras code under the AGPL, so neither it "
        "nor its weights (a Keras file) are used, and there are no weights until it is trained here. 123,642,856 of "
        "the parameters are the class head, which only training uses. At other sizes than 224 the trunk's features are "
        "pooled to 28 x 28 for the global branch; the original works at 224 alone.",
    ),
)

TRUNK = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
GRID = 28  # features per side at 224 px, which the fully connected layers count on


def vgg16_trunk() -> nn.Sequential:
    """VGG16 up to conv4_3, (B, 3, H, W) -> (B, 512, H / 8, W / 8); keys of torchvision's ``vgg16().features[:23]``."""
    layers: list[nn.Module] = []
    inputs = 3
    for stage, widths in enumerate(TRUNK):
        if stage:
            layers.append(nn.MaxPool2d(2))
        for width in widths:
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = width
    return nn.Sequential(*layers)


def conv_norm(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, ReLU, batch norm with Keras' constants and padding (none at the top and left of stride 2)."""
    pad = nn.ZeroPad2d(1 if stride == 1 else (0, 1, 0, 1))
    conv = nn.Conv2d(inputs, outputs, 3, stride)
    return nn.Sequential(pad, conv, nn.ReLU(inplace=True), nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))


def colour_decoder() -> nn.Sequential:
    """(B, 512, H / 8, W / 8) -> (B, 2, H, W) in (0, 1)."""
    return nn.Sequential(
        *(nn.Conv2d(512, 256, 1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(256, 128, 3, padding=1), nn.ReLU(inplace=True), nn.Upsample(scale_factor=2)),
        *(nn.Conv2d(128, 64, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(inplace=True), nn.Upsample(scale_factor=2)),
        *(nn.Conv2d(64, 32, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(32, 2, 3, padding=1), nn.Sigmoid(), nn.Upsample(scale_factor=2)),
    )


class ChromaGAN(Colorizer):
    """The generator.

    Args:
        classes: of the class head, which imitates VGG16's guess at the picture's content.
        hidden: width of the class head.
    """

    working_size = 224
    stride = 8

    def __init__(self, classes: int = 1000, hidden: int = 4096) -> None:
        super().__init__()
        self.trunk = vgg16_trunk()
        self.local = nn.Sequential(conv_norm(512, 512), conv_norm(512, 256))
        self.semantic = nn.Sequential(*(conv_norm(512, 512, stride) for stride in (2, 1, 2, 1)))
        flat = 512 * (GRID // 4) ** 2
        # No activation between the fully connected layers: so it is in the original.
        self.summary = nn.Sequential(nn.Linear(flat, 1024), nn.Linear(1024, 512), nn.Linear(512, 256))
        self.classifier = nn.Sequential(nn.Linear(flat, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, classes))
        self.decoder = colour_decoder()
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        features = self.features(lightness)
        # The original's targets are OpenCV's 8-bit a* + 128 and b* + 128, divided by 255.
        return 255 * self.colour(features, self.semantics(features)) - 128

    def features(self, lightness: Tensor) -> Tensor:
        """(B, 1, H, W) L* -> (B, 512, H / 8, W / 8). The trunk sees L* / 100 three times, not ImageNet's statistics."""
        return self.trunk((lightness / 100).expand(-1, 3, -1, -1))

    def semantics(self, features: Tensor) -> Tensor:
        """Trunk features -> (B, 25088), what the picture is about."""
        return self.semantic(F.adaptive_avg_pool2d(features, GRID)).flatten(1)

    def colour(self, features: Tensor, semantics: Tensor) -> Tensor:
        """Trunk features and semantics -> (B, 2, H, W) in (0, 1), the space of the training loss."""
        summary = self.summary(semantics)[:, :, None, None].expand(-1, -1, *features.shape[-2:])
        return self.decoder(torch.cat((self.local(features), summary), dim=1))

    def class_logits(self, semantics: Tensor) -> Tensor:
        """(B, 25088) semantics -> (B, classes); training brings their softmax close to VGG16's."""
        return self.classifier(semantics)


def chromagan(**options: Any) -> ChromaGAN:
    return ChromaGAN(**options)
