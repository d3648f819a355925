"""Let there be Color!: joint learning of global and local image priors (Iizuka et al., SIGGRAPH 2016).

One branch looks at the image, another at a small copy of fixed size whose summary joins every position of the first.
The summary's features also name the scene, which teaches them while training. Both begin with the same low-level
layers. Layer sizes follow the paper (doi 10.1145/2897824.2925974); the scaling of lightness and chroma is that of the
PyTorch re-implementation ivansetka/image-colorizer (commit 2d7e13a), which has one branch only, since it sees 224 x 224
alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.colorizer import Colorizer, Generator, Hints
from bench.configs import Strict
from bench.registry import ModelCard
from bench.training.config import OptimizerConfig
from bench.training.recipe import Batch, Phase, Recipe, Weight, weighted
from bench.training.schedules import make_optimizer

CARDS = (
    ModelCard(
        name="iizuka",
        family="iizuka",
        title="Let there be Color!",
        year=2016,
        paper="doi:10.1145/2897824.2925974",
        repository="https://github.com/satoshiiizuka/siggraph2016_colorization",
        parameters=42_567_050,
        macs=8_583_145_472,
        licence="CC-BY-NC-SA-4.0",
        working_size=224,
        note=(
            "Written from the paper. The official weights (Torch7, non-commercial) do not load; "
            "state dicts of ivansetka/image-colorizer do. Lightness is L*/100 as there, without the original's mean."
        ),
    ),
    ModelCard(
        name="iizuka-mini",
        family="iizuka",
        title="Let there be Color! (mini)",
        year=2016,
        paper="doi:10.1145/2897824.2925974",
        repository="https://github.com/satoshiiizuka/siggraph2016_colorization",
        parameters=1_237_970,
        macs=177_076_736,
        licence="CC-BY-NC-SA-4.0",
        working_size=128,
        note="The same architecture at 1/34 of the size, for 128 px and a CPU; not a model of the paper.",
    ),
)


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


def _chain(*channels: int, strides: tuple[int, ...]) -> nn.Sequential:
    pairs = zip(pairwise(channels), strides, strict=True)
    return nn.Sequential(*(_block(before, after, stride) for (before, after), stride in pairs))


class GlobalBranch(nn.Module):
    """Low-level features of the small copy -> a summary for every position, and class logits.

    Args:
        width: unit of the channels, see Iizuka.
        side: of the low-level features, in cells.
        classes: of the classifier.
    """

    def __init__(self, width: int, side: int, classes: int) -> None:
        super().__init__()
        wide = 8 * width
        self.convs = _chain(wide, wide, wide, wide, wide, strides=(2, 1, 2, 1))
        self.trunk = nn.Sequential(
            nn.Linear(wide * (side // 4) ** 2, 2 * wide), nn.ReLU(), nn.Linear(2 * wide, wide), nn.ReLU()
        )
        self.summary = nn.Sequential(nn.Linear(wide, wide // 2), nn.ReLU())
        self.classifier = nn.Sequential(nn.Linear(wide, wide // 2), nn.ReLU(), nn.Linear(wide // 2, classes))

    def forward(self, low: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 8 * width, side, side) -> (B, 4 * width), (B, classes)."""
        x = self.trunk(self.convs(low).flatten(1))
        return self.summary(x), self.classifier(x)


class Iizuka(Colorizer):
    """The two-branch network.

    Args:
        width: channels of the first layer; all others are multiples.
        global_size: side of the copy that the global branch sees; a multiple of 32.
        classes: of the scene or object classifier.
        working_size: side the weights were trained at.
    """

    stride = 8

    def __init__(self, width: int = 64, global_size: int = 224, classes: int = 1000, working_size: int = 224) -> None:
        super().__init__()
        if global_size <= 0 or global_size % 32:
            raise ValueError(f"global_size must be a multiple of 32, not {global_size}")
        w = width
        self.classes = classes
        self.global_size = (global_size, global_size)
        self.working_size = working_size
        self.low = _chain(1, w, 2 * w, 2 * w, 4 * w, 4 * w, 8 * w, strides=(2, 1, 2, 1, 2, 1))
        self.mid = _chain(8 * w, 8 * w, 4 * w, strides=(1, 1))
        self.globe = GlobalBranch(width, global_size // 8, classes)
        self.fusion = nn.Conv2d(8 * w, 4 * w, 1)
        self.chroma = nn.Sequential(
            _block(4 * w, 2 * w),
            nn.Upsample(scale_factor=2),
            _block(2 * w, w),
            _block(w, w),
            nn.Upsample(scale_factor=2),
            _block(w, w // 2),
            nn.Conv2d(w // 2, 2, 3, padding=1),
            nn.Sigmoid(),
            nn.Upsample(scale_factor=2),
        )

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        return self.chroma_and_logits(lightness)[0]

    def chroma_and_logits(self, lightness: Tensor) -> tuple[Tensor, Tensor]:
        """What training needs.

        Args:
            lightness: (B, 1, H, W) float32 L*; H and W multiples of 8.

        Returns:
            (B, 2, H, W) a*, b* in [-128, 127], and (B, classes) class logits.
        """
        image = lightness / 100
        low = self.low(image)  # (B, 8 * width, H / 8, W / 8)
        if image.shape[-2:] == self.global_size:
            summary, logits = self.globe(low)
        else:
            copy = F.interpolate(image, self.global_size, mode="bilinear", antialias=True)
            summary, logits = self.globe(self.low(copy))
        everywhere = summary[:, :, None, None].expand(-1, -1, *low.shape[-2:])
        fused = F.relu(self.fusion(torch.cat((everywhere, self.mid(low)), dim=1)))
        return self.chroma(fused) * 255 - 128, logits

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict of ours or of ivansetka/image-colorizer; strictly."""
        if any(key.startswith("low_net.") for key in state):
            state = from_ivansetka(state)
        super().load_weights(state)


_IVANSETKA_PREFIXES = {
    "low_net.layers.": "low.",
    "mid_net.layers.": "mid.",
    "global_net.conv_layers.": "globe.convs.",
    "global_net.fc1.0.": "globe.trunk.0.",
    "global_net.fc2.0.": "globe.trunk.2.",
    "global_net.fc3.": "globe.summary.",
    "global_net.fc_classification.": "globe.classifier.",
    "fusion_block.layers.0.": "fusion.",
    "colorization_net.layers.": "chroma.",
}


def from_ivansetka(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of the re-implementation; one that no rule knows keeps its name, so strict loading reports it."""
    renamed = {}
    for key, tensor in state.items():
        prefix = next((prefix for prefix in _IVANSETKA_PREFIXES if key.startswith(prefix)), "")
        renamed[_IVANSETKA_PREFIXES.get(prefix, "") + key.removeprefix(prefix)] = tensor
    return renamed


def iizuka(**options: Any) -> Iizuka:
    return Iizuka(**options)


def iizuka_mini(**options: Any) -> Iizuka:
    """About 1.2 M parameters: a quarter of the channels, and a global copy of 64 px; made for 128 px."""
    return Iizuka(**{"width": 16, "global_size": 64, "working_size": 128} | options)


class IizukaLosses(Strict):
    """Weights of the terms: squared error of (ab + 128) / 255, summed over an image; cross-entropy of its class."""

    chroma: Weight = 1.0
    classification: Weight = 1 / 300


class IizukaOptions(Strict):
    """Options of the recipe: weights of the terms, and the optimiser."""

    losses: IizukaLosses = IizukaLosses()
    optimizer: OptimizerConfig = OptimizerConfig(kind="adam", lr=1e-5)


class IizukaRecipe(Recipe[Iizuka, IizukaOptions]):
    """Chroma by regression; the class of the photograph teaches the global branch."""

    options_type = IizukaOptions
    entries = ("chroma_and_logits",)
    without_files = ("losses.classification=0",)

    def __init__(self, model: Iizuka, options: IizukaOptions) -> None:
        super().__init__(model, options)
        self.classes = model.classes if options.losses.classification else None

    def optimizers(self) -> dict[str, Optimizer]:
        return {"model": make_optimizer(self.options.optimizer, self.model.parameters())}

    def phases(self, batch: Batch) -> Iterator[Phase]:
        ab, logits = self.model.chroma_and_logits(batch.lightness)
        terms = weighted(
            self.options.losses,
            chroma=lambda: ((ab.float() - batch.ab) / 255).square().sum(dim=(1, 2, 3)).mean(),
            # Photographs of unknown class teach the chroma alone; the loader lets none through.
            classification=lambda: (
                F.cross_entropy(logits.float(), batch.labels, ignore_index=-1, reduction="sum") / len(logits)
            ),
        )
        yield Phase("model", terms)


RECIPE = IizukaRecipe
