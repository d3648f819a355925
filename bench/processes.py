"""Devices, precision and processes, through Lightning Fabric: one process, torchrun or Slurm, the same code."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING, Literal

import torch

from bench.errors import ConfigError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["fp32", "bf16", "fp16"]
_FABRIC_PRECISION: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """``device`` if this machine has it; None = CUDA, else MPS, else the CPU. Raises ConfigError."""
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    present[:0] = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    wanted = str(device or present[0].partition(":")[0])
    if wanted not in present and wanted not in {d.partition(":")[0] for d in present}:
        raise ConfigError(f"there is no device {wanted!r}. Expected one of: {', '.join(present)}.")
    return torch.device(wanted)


def pick_precision(wanted: Precision | Literal["auto"], device: torch.device) -> Precision:
    """``wanted``, or what ``auto`` means on ``device``: bf16 where the hardware has it, else fp32.

    GPUs before Ampere emulate bf16, which is slower than fp32; and fp16 needs its loss scaled: nobody gets it unasked.
    """
    if wanted != "auto":
        return wanted
    native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if native else "fp32"


def connect(device: str | None = None, precision: Precision = "fp32") -> Fabric:
    """Join the processes of this run (those torchrun or Slurm started; else this one alone).

    TF32 is switched off: its rounding changes with the batch, and so would the numbers. So is the choice of cuDNN's
    algorithms by trial, which may end differently each time. (Training sets both as its configuration says.)

    Raises:
        ConfigError: the device is not there, or cannot compute in ``precision``.
    """
    wanted = pick_device(device)
    if precision == "fp16" and wanted.type == "cpu":  # Fabric would take bf16 and say nothing
        raise ConfigError("a CPU does not compute in fp16. Choose fp32 or bf16, or another --device.")
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    nodes, local = _world()
    fabric = Fabric(
        accelerator=wanted.type,
        devices=[wanted.index] if wanted.index is not None and nodes * local == 1 else local,
        num_nodes=nodes,
        strategy="ddp" if nodes * local > 1 else "auto",
        precision=_FABRIC_PRECISION[precision],
        plugins=[LightningEnvironment()] if nodes * local == 1 else None,  # else Fabric asks Slurm itself
    )
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(_leave)
    return fabric


def _leave() -> None:
    """Close the connection to the other processes; gloo's threads can abort a process that ends without."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _world() -> tuple[int, int]:
    """(nodes, processes per node) from the environment of torchrun or Slurm."""
    if "LOCAL_WORLD_SIZE" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return int(os.environ["WORLD_SIZE"]) // local, local
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))  # of srun; an allocation alone starts nothing
    if tasks > 1:
        nodes = int(os.environ.get("SLURM_STEP_NUM_NODES", "1"))
        return nodes, tasks // nodes
    return 1, 1
