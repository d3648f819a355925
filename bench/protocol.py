"""Protocols: how a photograph becomes a test case, and which numbers are taken. A protocol has a name and a hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from bench.configs import Strict, checked, config_names, read_config
from bench.errors import ConfigError, UnknownNameError

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
}


class Preprocessing(Strict):
    """From a photograph of any size to a square test case.

    Args:
        crop: ``center`` cuts the largest square out of the middle first; ``none`` squashes the whole photograph.
        size: side of the square, in pixels.
        resample: a filter of Pillow's (antialiased), or ``opencv-bilinear``: cv2.resize's default, which skips pixels.
    """

    crop: Literal["none", "center"] = "none"
    size: int = Field(default=256, ge=8, le=8192)
    resample: Literal["bicubic", "bilinear", "box", "lanczos", "opencv-bilinear"] = "bicubic"

    def apply(self, photo: Image.Image) -> np.ndarray:
        """Crop and resize an RGB photograph (transparency is dropped); one that already has the size is untouched.

        Returns:
            (size, size, 3) uint8 RGB.
        """
        photo = photo.convert("RGB")
        if self.crop == "center":
            side = min(photo.size)
            left, top = (photo.width - side) // 2, (photo.height - side) // 2
            photo = photo.crop((left, top, left + side, top + side))
        if photo.size == (self.size, self.size):
            return np.array(photo)
        if self.resample == "opencv-bilinear":
            return _opencv_bilinear(np.asarray(photo), self.size)
        return np.array(photo.resize((self.size, self.size), _RESAMPLING[self.resample]))


class Protocol(Strict):
    """How a benchmark is run; a model has no part in it.

    Args:
        name: short name.
        description: for people; not part of the hash.
        preprocessing: for every dataset without an override.
        overrides: ``dataset/split`` or ``dataset`` -> preprocessing.
        metrics: names of numbers (``bench.metrics.NUMBERS``), in the order of tables.
        seed: for stochastic models and the bootstrap.
    """

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    preprocessing: Preprocessing = Preprocessing()
    overrides: dict[str, Preprocessing] = Field(default_factory=dict)
    metrics: list[str] = Field(min_length=1)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @property
    def hash(self) -> str:
        """12 hex digits that change with anything but the description: numbers compare only under equal hashes."""
        content = self.model_dump(mode="json", exclude={"description"})
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def for_dataset(self, name: str, split: str) -> Preprocessing:
        """The preprocessing of one dataset: the override of its split, of the dataset, or the default."""
        return self.overrides.get(f"{name}/{split}") or self.overrides.get(name) or self.preprocessing


def protocol_names() -> list[str]:
    """The protocols that come with the package, sorted."""
    return config_names("protocols")


def load_protocol(name_or_path: str | Path) -> Protocol:
    """Read a protocol.

    Args:
        name_or_path: a name of ``protocol_names()``, or the path of a YAML file.

    Raises:
        UnknownNameError: no such protocol.
        ConfigError: the file is missing, no YAML, or has a key or value that does not fit; says which.
    """
    content, path = read_config("protocols", name_or_path)
    protocol = checked(Protocol, content, str(path))
    _check_names(protocol, path)
    return protocol


def _check_names(protocol: Protocol, path: Path) -> None:
    """Datasets and metrics must exist. Both catalogues are imported only here."""
    from bench.datasets import DATASETS
    from bench.metrics import NUMBERS

    try:
        for key in protocol.overrides:
            name, _, split = key.partition("/")
            if name not in DATASETS:
                raise UnknownNameError("dataset", name, DATASETS)
            if split and split not in DATASETS[name].splits:
                raise UnknownNameError(f"split of {name}", split, DATASETS[name].splits)
        for metric in protocol.metrics:
            if metric not in NUMBERS:
                raise UnknownNameError("metric", metric, NUMBERS)
    except UnknownNameError as error:
        raise ConfigError(f"{path}: {error}") from error
    if len(set(protocol.metrics)) != len(protocol.metrics):
        raise ConfigError(f"{path}, key 'metrics': a name stands there twice. Expected each one once.")


def _opencv_bilinear(pixels: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (size, size, 3) uint8 as cv2.resize does by default: half-pixel centres, no antialiasing."""
    rows = _neighbours(pixels.shape[0], size)
    columns = _neighbours(pixels.shape[1], size)
    tall = _blended(pixels, rows, axis=0)
    square: np.ndarray = np.rint(_blended(tall, columns, axis=1)).astype(np.uint8)
    return square


def _neighbours(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of ``size`` outputs: the two inputs it lies between, and how far towards the second (0..1)."""
    position = ((np.arange(size) + 0.5) * (length / size) - 0.5).clip(0, length - 1)
    first = np.floor(position).astype(np.intp)
    return first, np.minimum(first + 1, length - 1), (position - first).astype(np.float32)


def _blended(pixels: np.ndarray, between: tuple[np.ndarray, np.ndarray, np.ndarray], axis: int) -> np.ndarray:
    first, second, weight = between
    weight = weight.reshape(-1, *[1] * (pixels.ndim - 1 - axis))
    low: np.ndarray = pixels.take(first, axis).astype(np.float32)
    blended: np.ndarray = low + weight * (pixels.take(second, axis) - low)
    return blended
