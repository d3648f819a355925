"""Devices, precision and processes, through Lightning Fabric: one process, torchrun or Slurm, the same code."""

from __future__ import annotations

import os
from typing import Literal

import torch
from lightning_fabric import Fabric

from bench.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]
_FABRIC_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


def default_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def connect(device: str | None = None, precision: Precision = "fp32") -> Fabric:
    """Join the processes of this run (those torchrun or Slurm started; else this one alone).

    TF32 is switched off: its rounding changes with the batch, and so would the numbers.

    Raises:
        ConfigError: the device is not there.
    """
    wanted = device or default_device()
    kind, _, index = wanted.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (kind == "cuda" and not torch.cuda.is_available()):
        found = ", ".join(["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))])
        raise ConfigError(f"--device {wanted} is not available here; found: {found}.")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    nodes, local = _world()
    fabric = Fabric(
        accelerator=kind,
        devices=[int(index)] if index and nodes * local == 1 else local,
        num_nodes=nodes,
        strategy="ddp" if nodes * local > 1 else "auto",
        precision=_FABRIC_PRECISION[precision],
    )
    fabric.launch()
    return fabric


def _world() -> tuple[int, int]:
    """(nodes, processes per node) from the environment of torchrun or Slurm."""
    if "LOCAL_WORLD_SIZE" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return int(os.environ["WORLD_SIZE"]) // local, local
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        nodes = int(os.environ.get("SLURM_NNODES", "1"))
        return nodes, int(os.environ["SLURM_NTASKS"]) // nodes
    return 1, 1
