"""The floor: no colour at all (a* = b* = 0). Every table shows it."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.colorizer import Colorizer, Generator, Hints
from bench.registry import ModelCard

CARDS = (
    ModelCard(
        name="gray",
        family="reference",
        title="Gray (the floor)",
        parameters=0,
        macs=0,
        licence="Apache-2.0",
        trainable=False,
    ),
)


class Gray(Colorizer):
    """Chroma zero everywhere."""

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        return torch.zeros_like(lightness).repeat(1, 2, 1, 1)


def gray() -> Gray:
    return Gray()
