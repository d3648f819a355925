"""The ceiling of blurry colour: the original's own chroma, at a sixteenth of the resolution.

A model that knew the true colour of every region but no more detail than 16 x 16 pixels would score this. Evaluation
feeds the original's chroma as dense hints; it is no colorizer for photographs without colour.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bench.colorizer import Colorizer, Generator, Hints
from bench.errors import HintsError
from bench.registry import ModelCard

CARDS = (
    ModelCard(
        name="oracle",
        family="reference",
        title="Oracle (the original's chroma at 1/16 resolution)",
        parameters=0,
        macs=0,
        licence="Apache-2.0",
        hints=True,
        trainable=False,
    ),
)


class Oracle(Colorizer):
    """Area mean of the hinted chroma over cells, interpolated bilinearly.

    Args:
        reduction: side of a cell in pixels.
    """

    accepts_hints = True
    needs_target = True

    def __init__(self, reduction: int = 16) -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        if hints is None or not bool(hints.mask.all()):
            raise HintsError(
                "the oracle is a ceiling, not a colorizer: it needs the original's chroma as a hint at every pixel, as "
                "`bench evaluate` gives it. For photographs without colour, or a few hints, use siggraph17."
            )
        size = lightness.shape[-2:]
        height, width = (max(1, round(side / self.reduction)) for side in size)
        return F.interpolate(F.adaptive_avg_pool2d(hints.ab, (height, width)), size, mode="bilinear")


def oracle(reduction: int = 16) -> Oracle:
    return Oracle(reduction)
