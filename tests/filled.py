"""State dicts filled by a rule, so that parity with official code can be shown without its weights.

Every tensor is drawn from a generator seeded by its key; the golden outputs in ``tests/goldens`` come from the official
implementations with the same filling.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

GOLDENS = Path(__file__).parent / "goldens"


def generator(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")))


def normal(key: str, shape: tuple[int, ...]) -> np.ndarray:
    return generator(key).standard_normal(math.prod(shape)).astype(np.float32).reshape(shape)


def key_table(name: str) -> dict[str, tuple[int, ...]]:
    """Official state-dict key -> shape."""
    table = json.loads((GOLDENS / "keys" / f"{name}.json").read_text())
    return {key: tuple(shape) for key, shape in table.items()}


def one_dimensional(key: str, shape: tuple[int, ...]) -> np.ndarray:
    n = normal(key, shape)
    last = key.rsplit(".", 1)[-1]
    if last in ("weight", "gamma"):
        return np.float32(1) + np.float32(0.02) * n
    if last == "running_var":
        return np.float32(1) + np.float32(0.02) * np.abs(n)
    return np.float32(0.02) * n


def ddcolor_state(name: str, rule: str) -> dict[str, Tensor]:
    """Rule "F" (fan-scaled) or "S" (std 0.02); spectral-norm v is the matching W^T u, so that sigma is sane."""
    constants = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    state: dict[str, np.ndarray] = {}
    table = key_table(name)
    for key, shape in table.items():
        if key in constants:
            state[key] = np.array(constants[key], np.float32).reshape(shape)
        elif key.endswith("num_batches_tracked"):
            state[key] = np.zeros(shape, np.int64)
        elif key.endswith("weight_u"):
            u = normal(key, shape).astype(np.float64)
            state[key] = (u / np.linalg.norm(u)).astype(np.float32)
        elif key.endswith("weight_v"):
            continue
        elif len(shape) >= 2:
            scale = np.float32(0.02) if rule == "S" else np.float32(1 / math.sqrt(math.prod(shape) / shape[0]))
            state[key] = normal(key, shape) * scale
        else:
            state[key] = one_dimensional(key, shape)
    for key in table:
        if key.endswith("weight_v"):
            stem = key.removesuffix("_v")
            weight = state[stem + "_orig"].astype(np.float64)
            v = weight.reshape(len(weight), -1).T @ state[stem + "_u"].astype(np.float64)
            state[key] = (v / np.linalg.norm(v)).astype(np.float32)
    return {key: torch.from_numpy(state[key]).reshape(shape) for key, shape in table.items()}


def fan_in_state(name: str) -> dict[str, Tensor]:
    """The rule of the ECCV16 and SIGGRAPH17 goldens: He-scaled weights."""
    state = {}
    for key, shape in key_table(name).items():
        if key.endswith("num_batches_tracked"):
            value = np.zeros(shape, np.int64)
        elif len(shape) >= 2:
            value = normal(key, shape) * np.float32(math.sqrt(2 / math.prod(shape[1:])))
        else:
            value = one_dimensional(key, shape)
        state[key] = torch.from_numpy(value)
    return state
