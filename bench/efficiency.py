"""What a model costs: multiply-accumulates, latency, peak memory."""

from __future__ import annotations

import contextlib
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.colorizer import Colorizer, predict_chroma
from bench.hints import dense_hints


def _colour_one(model: Colorizer, lightness: torch.Tensor) -> None:
    hints = dense_hints(lightness.new_zeros(1, 2, *lightness.shape[-2:])) if model.needs_target else None
    generator = torch.Generator(lightness.device).manual_seed(0) if model.stochastic else None
    predict_chroma(model, lightness, hints, generator)
    if lightness.device.type == "cuda":
        torch.cuda.synchronize(lightness.device)


@torch.inference_mode()
def multiply_accumulates(model: Colorizer, device: torch.device, size: int) -> int:
    """Of colouring one ``size`` x ``size`` image; convolutions and matrix products, those of attention too, count."""
    lightness = torch.full((1, 1, size, size), 50.0, device=device)
    # Of fused attention PyTorch counts some kernels and not others: taken apart, all devices count the same.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        _colour_one(model, lightness)
    return int(counter.get_total_flops()) // 2


@torch.inference_mode()
def latency_ms(model: Colorizer, device: torch.device, size: int, seconds: float = 5.0) -> float:
    """Median time of colouring one ``size`` x ``size`` image: up to 10 passes within ``seconds``, one at least.

    The model should have run before: first passes are slower.
    """
    lightness = torch.full((1, 1, size, size), 50.0, device=device)
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < 10 and (not times or time.perf_counter() - begun < seconds):
        start = time.perf_counter()
        _colour_one(model, lightness)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new peak, where the system can (CUDA; on a CPU, Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mb(device: torch.device) -> float:
    """Most memory used since the reset: of the GPU by this process, or the resident memory of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
