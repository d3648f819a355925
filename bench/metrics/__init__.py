"""The catalogue of numbers: what each means, and which metric measures it. Importing this does not import torch."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.errors import UnknownNameError, WeightsError

if TYPE_CHECKING:
    import torch

    from bench.metrics.base import Metric

__all__ = ["DEFAULT", "NUMBERS", "Metric", "Number", "build_metrics"]

NEEDS_TARGET = "needs a colour reference"
NEEDS_COLOURINGS = "needs several colourings of each photograph by a stochastic model (--colourings 2)"


@dataclass(frozen=True)
class Number:
    """One column of a table.

    Args:
        name: on the command line and in records.
        label: head of the column.
        unit: e.g. ``"dB"``; empty for plain numbers.
        better: which way is better; ``"target"`` = the closer to the originals' own value.
        definition: one line, precise enough to tell the variant from its rivals.
        metric: ``"module:class"`` that measures it; several numbers may come from one metric.
        needs_target: whether it compares with the originals.
        decimals: digits worth printing.
    """

    name: str
    label: str
    unit: str
    better: Literal["higher", "lower", "target", "none"]
    definition: str
    metric: str
    needs_target: bool
    decimals: int


_COLOURFULNESS = "bench.metrics.colourfulness:Colourfulness"

NUMBERS: dict[str, Number] = {
    number.name: number
    for number in (
        Number(
            "fid", "FID", "", "lower",
            "Fréchet Inception distance as in pytorch-fid: TensorFlow's Inception, 2048 pool features of uint8 RGB",
            "bench.metrics.fid:FID", True, 2,
        ),
        Number(
            "fid_ct2", "FID (CT2)", "", "lower",
            "CT2's script: torchvision's Inception, input in [0, 1] rescaled once more; only to match published tables",
            "bench.metrics.fid:FIDct2", True, 2,
        ),
        Number(
            "fid_ddcolor", "FID (DDColor)", "", "lower",
            "DDColor's validation: as fid_ct2, with input first squeezed into [0.5, 1]; only to match its own logs",
            "bench.metrics.fid:FIDddcolor", True, 2,
        ),
        Number(
            "fcd", "FCD", "", "lower",
            "Fréchet distance between chroma descriptors of the images; needs no weights, comparable only with itself",
            "bench.metrics.fcd:FCD", True, 2,
        ),
        Number(
            "psnr", "PSNR", "dB", "higher",
            "peak signal-to-noise ratio on uint8 RGB, three channels, per image, mean",
            "bench.metrics.psnr:PSNR", True, 2,
        ),
        Number(
            "ssim", "SSIM", "", "higher",
            "structural similarity with Gaussian weights (sigma 1.5), three channels, range 255, per image, mean",
            "bench.metrics.ssim:SSIM", True, 4,
        ),
        Number(
            "lpips_alex", "LPIPS alex", "", "lower",
            "learned perceptual distance v0.1 with AlexNet, input in [-1, 1], per image, mean",
            "bench.metrics.lpips:LPIPSAlex", True, 4,
        ),
        Number(
            "lpips_vgg", "LPIPS vgg", "", "lower",
            "learned perceptual distance v0.1 with VGG16, input in [-1, 1], per image, mean",
            "bench.metrics.lpips:LPIPSVgg", True, 4,
        ),
        Number(
            "cf", "CF", "", "target",
            "colourfulness with absolute opponents, as colorization papers compute it, per image, mean",
            _COLOURFULNESS, False, 2,
        ),
        Number(
            "cf_hasler", "CF Hasler", "", "target",
            "colourfulness with signed opponents, as Hasler and Süsstrunk (2003) define it, per image, mean",
            _COLOURFULNESS, False, 2,
        ),
        Number(
            "dcf", "ΔCF", "", "lower",
            "absolute difference of the mean cf of predictions and of originals (DDColor)",
            _COLOURFULNESS, True, 2,
        ),
        Number(
            "dcf_image", "ΔCF image", "", "lower",
            "mean of the absolute differences of cf of each prediction and its original (CT2)",
            _COLOURFULNESS, True, 2,
        ),
        Number(
            "auc", "AuC", "%", "higher",
            "area under the cumulative curve of ab errors from 0 to 150, over all pixels",
            "bench.metrics.auc:AuC", True, 2,
        ),
        Number(
            "auc_rebalanced", "AuC rebal.", "%", "higher",
            "the same with every 10 x 10 bin of original ab that occurs in the dataset weighing the same",
            "bench.metrics.auc:AuC", True, 2,
        ),
        Number(
            "diversity", "diversity", "", "higher",
            "mean ab distance per pixel between several colourings of a photograph by a stochastic model",
            "bench.metrics.diversity:Diversity", False, 2,
        ),
    )
}  # fmt: skip

DEFAULT: tuple[str, ...] = tuple(
    name for name in NUMBERS if name not in {"fid_ct2", "fid_ddcolor", "auc", "auc_rebalanced", "diversity"}
)


def build_metrics(
    names: Iterable[str], device: torch.device | str = "cpu", has_target: bool = True
) -> tuple[list[Metric], dict[str, str]]:
    """The metrics that measure the named numbers.

    Args:
        names: of NUMBERS.
        device: where to compute. Metrics on Apple's ``mps``, which has no float64, stay on the CPU.
        has_target: whether there are original colours to compare with.

    Returns:
        Each metric once (it may report more numbers than were asked for), and why other numbers are absent.

    Raises:
        UnknownNameError: a name is not in NUMBERS.
    """
    wanted: dict[str, list[str]] = {}
    absent: dict[str, str] = {}
    for name in names:
        if name not in NUMBERS:
            raise UnknownNameError("metric", name, NUMBERS)
        if name == "diversity":
            absent[name] = NEEDS_COLOURINGS
        elif NUMBERS[name].needs_target and not has_target:
            absent[name] = NEEDS_TARGET
        else:
            wanted.setdefault(NUMBERS[name].metric, []).append(name)
    metrics: list[Metric] = []
    # Without originals only metrics with a number that needs none are left; these take ``has_target``.
    options = {} if has_target else {"has_target": False}
    for reference, numbers in wanted.items():
        module, _, attribute = reference.partition(":")
        try:
            metric: Metric = getattr(importlib.import_module(module), attribute)(**options)
        except WeightsError as error:
            absent |= dict.fromkeys(numbers, str(error))
        else:
            metrics.append(metric.to("cpu" if str(device).startswith("mps") else device))
    return metrics, absent


def __getattr__(name: str) -> object:
    """``Metric`` on demand: it brings torch with it."""
    if name == "Metric":
        return importlib.import_module("bench.metrics.base").Metric
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
