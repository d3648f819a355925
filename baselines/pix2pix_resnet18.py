"""pix2pix with a pretrained encoder: the ResNet-18 U-Net that is first trained alone, then against a PatchGAN.

Known from the tutorial "Colorizing black & white images with U-Net and conditional GAN" (commit 707b258 of
moein-shariatnia/Deep-Learning), whose generator is fastai's DynamicUnet over torchvision's ResNet-18. Written here from
that network's structure without fastai; state dicts of its layout load. The losses are those of pix2pix (Isola et al.,
arXiv 1611.07004).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer
from torchvision.models.resnet import BasicBlock

from baselines.pix2pix import CHROMA_SCALE, GANOptions, GANRecipe, chroma_distance, generator_part
from bench.checkpoints import read_state_dict
from bench.colorizer import Colorizer, Generator, Hints, state_problems
from bench.errors import WeightsError
from bench.registry import ModelCard, Weights
from bench.training.config import OptimizerConfig
from bench.training.recipe import Batch, Phase
from bench.training.schedules import make_optimizer

CARDS = (
    ModelCard(
        name="pix2pix-resnet18",
        family="pix2pix",
        title="pix2pix (ResNet-18 U-Net)",
        year=2020,
        paper="arXiv:1611.07004",
        repository="https://github.com/moein-shariatnia/Deep-Learning",
        parameters=31_099_672,
        macs=28_427_157_504,
        licence="MIT",
        working_size=256,
        weights=(
            Weights(
                name="tutorial",
                file="final_model_weights.pt",
                url="https://drive.usercontent.google.com/download"
                "?id=1lR6DcS4m5InSbZ5y59zkH2mHt_4RQ2KV&export=download&confirm=t",
                note="8,000 photographs of COCO at 256; the generator of the tutorial's whole model; "
                "no licence is stated",
            ),
        ),
        note="A tutorial's model, not one of the pix2pix paper.",
    ),
    ModelCard(
        name="pix2pix-resnet18-mini",
        family="pix2pix",
        title="pix2pix (ResNet-18 U-Net, mini)",
        year=2020,
        paper="arXiv:1611.07004",
        repository="https://github.com/moein-shariatnia/Deep-Learning",
        parameters=1_097_388,
        macs=261_226_496,
        licence="MIT",
        working_size=128,
        note="The same architecture at 1/28 of the size, for 128 px and a CPU; its encoder has no ImageNet weights.",
    ),
)


class Encoder(nn.Module):
    """ResNet-18 without its classifier, for one input channel; named as in torchvision."""

    def __init__(self, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = _stage(widths[0], widths[0], blocks, stride=1)
        self.layer2 = _stage(widths[0], widths[1], blocks, stride=2)
        self.layer3 = _stage(widths[1], widths[2], blocks, stride=2)
        self.layer4 = _stage(widths[2], widths[3], blocks, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 1, H, W) -> features at strides 2, 4, 8, 16 and 32."""
        stem = F.relu(self.bn1(self.conv1(x)))
        features = [stem, self.layer1(F.max_pool2d(stem, 3, stride=2, padding=1))]
        for stage in (self.layer2, self.layer3, self.layer4):
            features.append(stage(features[-1]))
        return features


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    rest = (BasicBlock(outputs, outputs) for _ in range(blocks - 1))
    return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut), *rest)


def _conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(conv.weight)
    assert conv.bias is not None
    nn.init.normal_(conv.bias, 0.0, 0.01)
    return conv


class Shuffle(nn.Module):
    """Upsample by 2: 1x1 convolution, ReLU, pixel shuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 4 * outputs, 1)
        nn.init.kaiming_normal_(self.conv.weight)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)
        with torch.no_grad():  # ICNR: the four sub-pixels of a channel start equal
            self.conv.weight.copy_(self.conv.weight[::4].repeat_interleave(4, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.relu(self.conv(x)), 2)


class UpBlock(nn.Module):
    """Upsample, concatenate the encoder's feature, two 3x3 convolutions."""

    def __init__(self, inputs: int, skip: int, halve: bool) -> None:
        super().__init__()
        joined = inputs // 2 + skip
        self.channels = joined // 2 if halve else joined
        self.shuffle = Shuffle(inputs, inputs // 2)
        self.norm = nn.BatchNorm2d(skip)
        self.conv1 = _conv(joined, self.channels)
        self.conv2 = _conv(self.channels, self.channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = _resized(self.shuffle(x), skip)
        x = F.relu(torch.cat((x, self.norm(skip)), dim=1))
        return F.relu(self.conv2(F.relu(self.conv1(x))))


def _resized(x: Tensor, like: Tensor) -> Tensor:
    """``x`` with the sides of ``like``; they differ by a pixel where an odd side was halved."""
    return x if x.shape[-2:] == like.shape[-2:] else F.interpolate(x, like.shape[-2:], mode="nearest")


class ResNetUNet(Colorizer):
    """The U-Net generator; sides of any length.

    Args:
        widths: channels of the four stages of the encoder; multiples of 4.
        blocks: residual blocks of each stage.
        working_size: side the weights were trained at.
    """

    stride = 1

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512), blocks: int = 2, working_size: int = 256) -> None:
        super().__init__()
        if len(widths) != 4 or any(width % 4 for width in widths):
            raise ValueError(f"widths must be four multiples of 4, not {widths}")
        self.working_size = working_size
        self.encoder = Encoder(widths, blocks)
        deepest = widths[-1]
        self.norm = nn.BatchNorm2d(deepest)
        self.middle = nn.Sequential(_conv(deepest, 2 * deepest), nn.ReLU(), _conv(2 * deepest, deepest), nn.ReLU())
        channels, skips = deepest, (widths[2], widths[1], widths[0], widths[0])
        self.blocks = nn.ModuleList()
        for i, skip in enumerate(skips):
            block = UpBlock(channels, skip, halve=i == len(skips) - 1)
            self.blocks.append(block)
            channels = block.channels
        self.shuffle = Shuffle(channels, channels)
        channels += 1  # the input joins
        self.residual = nn.Sequential(_conv(channels, channels), nn.ReLU(), _conv(channels, channels))
        self.head = _conv(channels, 2, kernel=1)

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        image = lightness / 50 - 1
        *skips, x = self.encoder(image)
        x = self.middle(F.relu(self.norm(x)))
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            x = block(x, skip)
        x = torch.cat((_resized(self.shuffle(x), image), image), dim=1)
        return CHROMA_SCALE * self.head(F.relu(x + self.residual(x)))

    def load_imagenet_encoder(self, state: Mapping[str, Tensor]) -> None:
        """Start the encoder from an ImageNet classifier.

        The kernels of the first layer are summed over R, G and B: what the classifier computes on three equal channels.

        Args:
            state: torchvision's (or timm's) ResNet-18 state dict.

        Raises:
            WeightsError: it is not one, or this encoder has another size.
        """
        encoder = {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}
        if "conv1.weight" in encoder:
            encoder["conv1.weight"] = encoder["conv1.weight"].sum(dim=1, keepdim=True)
        problems = state_problems(self.encoder.state_dict(), encoder)
        if problems:
            raise WeightsError(
                f"the weights do not fit the encoder: {'; '.join(problems)}. Expected torchvision's resnet18 "
                "(and a network of the size of pix2pix-resnet18)."
            )
        self.encoder.load_state_dict(encoder)

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict of ours, of fastai's DynamicUnet, or of the whole tutorial model (``net_G.``); strictly."""
        state = generator_part(state)
        if any(key.startswith("layers.0.") for key in state):
            state = from_dynamic_unet(state)
        super().load_weights(state)


_DYNAMIC_UNET_NAMES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^layers\.0\.0\.", "encoder.conv1."),
    (r"^layers\.0\.1\.", "encoder.bn1."),
    (r"^layers\.0\.([4-7])\.", lambda match: f"encoder.layer{int(match[1]) - 3}."),
    (r"^layers\.1\.", "norm."),
    (r"^layers\.3\.([01])\.0\.", lambda match: f"middle.{2 * int(match[1])}."),
    (r"^layers\.([4-7])\.", lambda match: f"blocks.{int(match[1]) - 4}."),
    (r"^(blocks\.\d)\.shuf\.0\.0\.", r"\1.shuffle.conv."),
    (r"^(blocks\.\d)\.bn\.", r"\1.norm."),
    (r"^(blocks\.\d)\.conv([12])\.0\.", r"\1.conv\2."),
    (r"^layers\.8\.0\.0\.", "shuffle.conv."),
    (r"^layers\.11\.convpath\.([01])\.0\.", lambda match: f"residual.{2 * int(match[1])}."),
    (r"^layers\.12\.0\.", "head."),
)


def from_dynamic_unet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of fastai's DynamicUnet; one that no rule knows keeps its name, so strict loading reports it."""
    renamed = {}
    for key, tensor in state.items():
        for pattern, replacement in _DYNAMIC_UNET_NAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed


def pix2pix_resnet18(**options: Any) -> ResNetUNet:
    return ResNetUNet(**options)


def pix2pix_resnet18_mini(**options: Any) -> ResNetUNet:
    """About 1.1 M parameters: the same depth at 12-96 channels; made for 128 px."""
    mini: dict[str, Any] = {"widths": (12, 24, 48, 96), "working_size": 128}
    return ResNetUNet(**mini | options)


class TwoStageOptions(GANOptions):
    """Options of the recipe: those of pix2pix and

    Args:
        pretrain_steps: of the first stage, L1 alone.
        pretrain: its optimiser.
        encoder: file of torchvision's resnet18-f37072fd.pth, or ``random``.
    """

    pretrain_steps: int = Field(default=0, ge=0)
    pretrain: OptimizerConfig = OptimizerConfig(lr=1e-4, betas=(0.9, 0.999))
    encoder: str = "random"


class TwoStageRecipe(GANRecipe[ResNetUNet]):
    """First the generator alone, then the GAN of pix2pix, which the generator enters as it is."""

    options_type = TwoStageOptions
    without_files = ("encoder=random",)
    options: TwoStageOptions

    def __init__(self, model: ResNetUNet, options: TwoStageOptions) -> None:
        super().__init__(model, options)
        if options.encoder != "random":
            path = Path(options.encoder).expanduser()
            if not path.is_file():
                raise WeightsError(
                    f"the encoder weights {path} are not here. Download "
                    "https://download.pytorch.org/models/resnet18-f37072fd.pth and name the file, or start untrained "
                    "(--set recipe.encoder=random)."
                )
            model.load_imagenet_encoder(read_state_dict(path))

    def optimizers(self) -> dict[str, Optimizer]:
        return super().optimizers() | {"pretrain": make_optimizer(self.options.pretrain, self.model.parameters())}

    def phases(self, batch: Batch) -> Iterator[Phase]:
        if batch.step >= self.options.pretrain_steps:
            yield from super().phases(batch)
        else:
            distance = chroma_distance(self.model(batch.lightness).float(), batch.ab)
            yield Phase("pretrain", {"pretrain": distance})


RECIPE = TwoStageRecipe
