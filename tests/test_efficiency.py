"""What a model costs, against arithmetic by hand."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.colorizer import Colorizer, Generator, Hints
from bench.efficiency import latency_ms, multiply_accumulates

CPU = torch.device("cpu")
SIDE, PATCH, WIDTH, HEADS = 64, 16, 32, 4
TOKENS = (SIDE // PATCH) ** 2


class Attentive(Colorizer):
    """Patches, attention among them, one colour for all."""

    working_size = None
    stride = PATCH

    def __init__(self, pause: float = 0) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, PATCH, PATCH)
        self.colour = nn.Linear(WIDTH, 2)
        self.pause, self.calls = pause, 0

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.calls += 1
        time.sleep(self.pause)
        tokens = self.patches(lightness).flatten(2).transpose(1, 2)
        heads = tokens.unflatten(2, (HEADS, WIDTH // HEADS)).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)
        return self.colour(mixed.mean(1))[..., None, None].expand(-1, -1, *lightness.shape[-2:])


def test_multiply_accumulates_are_those_counted_by_hand() -> None:
    convolution = TOKENS * WIDTH * PATCH * PATCH
    attention = 2 * TOKENS * TOKENS * WIDTH  # queries by keys, weights by values: all heads together
    assert multiply_accumulates(Attentive().eval(), CPU, SIDE) == convolution + attention + 2 * WIDTH


def test_latency_is_the_time_of_one_image() -> None:
    model = Attentive(pause=0.01).eval()
    assert latency_ms(model, CPU, SIDE) >= 10
    assert model.calls == 10


def test_a_slow_model_is_timed_once() -> None:
    model = Attentive(pause=0.02).eval()
    assert latency_ms(model, CPU, SIDE, seconds=0.01) >= 20
    assert model.calls == 1
