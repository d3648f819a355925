"""What several training processes do together: average gradients, share batch-norm statistics, agree.

Gradients are averaged explicitly, after the last part of a batch, instead of by hooks in a wrapper around each network:
a step of a GAN runs its networks several times and through several methods, which such wrappers do not foresee.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

_BUCKET = 2**24  # elements sent at a time
_STATISTICS = (".running_mean", ".running_var")

Value = TypeVar("Value")


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; all of them must call this."""
    _average_each(p.grad for p in parameters if p.grad is not None)


def average_statistics(states: Iterable[Mapping[str, Tensor]]) -> None:
    """Replace the running statistics of batch norm in these state dicts by their mean over the processes. In place.

    Unless batch norm is shared, each process has those of its own photographs. All of them must call this.
    """
    _average_each(tensor for state in states for key, tensor in state.items() if f".{key}".endswith(_STATISTICS))


@torch.no_grad()
def _average_each(tensors: Iterable[Tensor]) -> None:
    if world_size() == 1:
        return
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        bucket.append(tensor)
        size += tensor.numel()
        if size >= _BUCKET:
            _average(bucket)
            bucket, size = [], 0
    if bucket:
        _average(bucket)


def _average(tensors: list[Tensor]) -> None:
    flat = torch.cat([t.flatten() for t in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def mean_over_processes(values: Tensor) -> Tensor:
    if world_size() > 1:
        dist.all_reduce(values)
        values /= world_size()
    return values


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` is set in any process."""
    if world_size() == 1:
        return flag
    vote = torch.tensor(float(flag), device=device)
    dist.all_reduce(vote, dist.ReduceOp.MAX)
    return bool(vote.item())


def merged(found: Mapping[str, str]) -> dict[str, str]:
    """The union over all processes."""
    return {key: value for part in gathered(dict(found)) for key, value in part.items()}


def gathered(value: Value) -> list[Value]:
    """What every process has, in their order."""
    if world_size() == 1:
        return [value]
    found: list[Value] = [value] * world_size()
    dist.all_gather_object(found, value)
    return found


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch norm whose statistics are those of all processes together, on any device (torch's own needs CUDA)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(x)
        from torch.distributed.nn.functional import all_reduce  # the differentiable one

        count = x.numel() // x.shape[1] * world_size()
        wide = x.float()
        mean = all_reduce(wide.sum(dim=(0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = all_reduce(centred.square().sum(dim=(0, 2, 3))) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            share = self.momentum if self.momentum is not None else 1.0
            self.running_mean.lerp_(mean.detach(), share)
            self.running_var.lerp_(variance.detach() * (count / max(count - 1, 1)), share)
            self.num_batches_tracked.add_(1)
        y = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.weight is not None and self.bias is not None:
            y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(x.dtype)


def share_batch_norm(network: nn.Module) -> None:
    """Turn every batch norm of ``network`` into a ``SyncBatchNorm``. In place; keys and values stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm
