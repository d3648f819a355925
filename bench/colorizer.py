"""THE interface: lightness in, chroma out. Everything that colours an image here goes through ``predict_chroma``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.color import join, rgb_to_lab, to_uint8
from bench.errors import HintsError, WeightsError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from bench.loading import Provenance

Generator = torch.Generator | Sequence[torch.Generator]
"""Randomness for a stochastic model: one generator for the batch, or one per image (then batch size cannot matter)."""


@dataclass(frozen=True)
class Hints:
    """Colours the user prescribes.

    Args:
        ab: (B, 2, H, W) float32 CIE a*, b*; zero where ``mask`` is zero.
        mask: (B, 1, H, W) float32, 1 where the colour is given, else 0.
    """

    ab: Tensor
    mask: Tensor

    def to(self, device: torch.device | str) -> Hints:
        return Hints(self.ab.to(device), self.mask.to(device))

    def resized(self, size: tuple[int, int]) -> Hints:
        """The same hints on another grid: a cell is hinted if any hint falls into it, by their mean colour."""
        if self.mask.shape[-2:] == size:
            return self
        weight = F.adaptive_avg_pool2d(self.mask, size)
        ab = F.adaptive_avg_pool2d(self.ab * self.mask, size) / weight.clamp(min=1e-12)
        return Hints(ab, (weight > 0).to(ab.dtype))


class Colorizer(nn.Module):
    """A network that adds chroma to lightness, in CIELAB units; anything else about it stays inside it.

    Attributes:
        working_size: square side at which the network sees photographs, as a rule that of its training; None = any
            multiple of ``stride``.
        stride: sides must be multiples of this.
        accepts_hints: whether ``forward`` takes ``hints``; models that take none raise HintsError on them.
        stochastic: whether the colours depend on ``generator``.
        needs_target: a ceiling, not a model: evaluation gives it the original's chroma as dense hints.
        provenance: where the weights came from; set by ``bench.load_model``.
    """

    working_size: int | None = None
    stride: int = 1
    accepts_hints: bool = False
    stochastic: bool = False
    needs_target: bool = False
    provenance: Provenance | None = None

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        """Predict chroma.

        Args:
            lightness: (B, 1, H, W) float32, CIE L* in [0, 100]; H and W multiples of ``stride``.
            hints: colours to honour, or None.
            generator: for stochastic models; the same seeds give the same colours.

        Returns:
            (B, 2, H, W) float32, CIE a*, b*.

        Raises:
            HintsError: hints were given to a model that takes none.
        """
        raise NotImplementedError

    def refuse_hints(self, hints: Hints | None) -> None:
        """For models without hints: raise HintsError unless ``hints`` is None."""
        if hints is not None:
            raise HintsError(f"{type(self).__name__} takes no colour hints; siggraph17 does.")

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict, strictly. A model whose published files use other keys maps them, then calls this.

        Raises:
            WeightsError: keys are missing, unexpected or of another shape; the network is left as it was.
        """
        problems = state_problems(self.state_dict(), state)
        if problems:
            raise WeightsError(
                f"the weights do not fit {type(self).__name__}: {'; '.join(problems)}. "
                "Expected weights of this very network: check the name and the options of the model."
            )
        self.load_state_dict(dict(state))

    def prepare_for_inference(self) -> Colorizer:
        """Called once after loading: eval mode; models fold here what only training needs."""
        return self.eval().requires_grad_(False)


def state_problems(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], shown: int = 8) -> list[str]:
    """How ``given`` differs from ``expected``: at most three phrases, each a count and the first ``shown`` keys."""

    def phrase(what: str, keys: list[str]) -> str:
        return f"{len(keys)} {what} ({', '.join(keys[:shown])}{', ...' if len(keys) > shown else ''})"

    # Files older than PyTorch 0.4.1 lack this counter, which inference never reads.
    missing = [key for key in expected if key not in given and not key.endswith(".num_batches_tracked")]
    unexpected = [key for key in given if key not in expected]
    reshaped = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in given and given[key].shape != tensor.shape
    ]
    found = (("keys missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    return [phrase(what, keys) for what, keys in found if keys]


def grid(model: Colorizer, height: int, width: int, size: int | None = None) -> tuple[int, int]:
    """The (height, width) at which ``model`` sees a photo: its working size, or the nearest multiples of its stride."""
    side = size or model.working_size
    wanted = (side, side) if side else (height, width)
    rows, columns = (max(1, round(n / model.stride)) * model.stride for n in wanted)
    return rows, columns


def predict_chroma(
    model: Colorizer,
    lightness: Tensor,
    hints: Hints | None = None,
    generator: Generator | None = None,
    size: int | None = None,
) -> Tensor:
    """Chroma for lightness of any size, predicted at the model's working size.

    Args:
        model: any Colorizer.
        lightness: (B, 1, H, W) float32 L*.
        hints: at the resolution of ``lightness``.
        generator: see ``Colorizer.forward``.
        size: working size to use instead of the model's own.

    Returns:
        (B, 2, H, W) float32 a*, b*; brought to (H, W) by bilinear interpolation (the official DDColor code uses
        nearest, which costs up to 4 dB at full resolution).
    """
    full = (lightness.shape[-2], lightness.shape[-1])
    lightness = as_seen(model, lightness, size)
    seen = (lightness.shape[-2], lightness.shape[-1])
    ab = model(lightness, hints.resized(seen) if hints else None, generator).float()
    return ab if seen == full else F.interpolate(ab, full, mode="bilinear", antialias=True)


def as_seen(model: Colorizer, lightness: Tensor, size: int | None = None) -> Tensor:
    """(B, 1, H, W) lightness of any size -> (B, 1, h, w) as the network gets it; see ``grid``."""
    full = (lightness.shape[-2], lightness.shape[-1])
    seen = grid(model, *full, size)
    return lightness if seen == full else F.interpolate(lightness, seen, mode="bilinear", antialias=True)


@torch.inference_mode()
def colorize(
    model: Colorizer,
    image: Image.Image | np.ndarray | str | Path,
    *,
    size: int | None = None,
    hints: Hints | None = None,
    seed: int = 0,
) -> Image.Image:
    """Colour one photo at its own full resolution.

    Args:
        model: any Colorizer; the photo goes to the device its parameters are on.
        image: a path, a PIL image of any mode, or a uint8 array (H, W), (H, W, 3) or (H, W, 4).
        size: working size to use instead of the model's own (the official DDColor pipeline uses 512).
        hints: (1, ...) at the photo's resolution.
        seed: for stochastic models.

    Returns:
        RGB image (RGBA where the photo was transparent) whose L* is the photo's own, up to the sRGB gamut.

    Raises:
        ImageError: the photo cannot be read.
    """
    from bench.images import photo_from_tensor, read_photo, rgb_tensor

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    photo = read_photo(image)
    lightness = rgb_to_lab(rgb_tensor(photo)[None].to(device))[:, :1]
    generator = torch.Generator(device).manual_seed(seed) if model.stochastic else None
    ab = predict_chroma(model, lightness, hints.to(device) if hints else None, generator, size)
    return photo_from_tensor(to_uint8(join(lightness, ab))[0], alpha=photo)
