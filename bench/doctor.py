"""``bench doctor``: what this machine has, what is missing, and the command that brings it."""

from __future__ import annotations

import os

from rich.console import Console
from rich.markup import escape

from bench.cache import cache_dir
from bench.datasets import DATASETS, open_dataset
from bench.environment import code_version, library_versions
from bench.errors import DatasetError
from bench.weights import BACKBONES, cached_path, catalogue

_GOOD, _LACKING = "[green]✓[/green]", "[yellow]–[/yellow]"


def examine(console: Console) -> None:
    """Print devices, versions, data and weights."""
    import torch

    code = code_version()
    commit = f" ({code.commit[:10]}{', with uncommitted changes' if code.dirty else ''})" if code.commit else ""
    console.print(f"[bold]bench[/bold] {code.version}{commit}")
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    console.print(f"  {versions}")

    console.print("\n[bold]devices[/bold]")
    console.print(f"  {_GOOD} cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    for i in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(i)
        console.print(f"  {_GOOD} cuda:{i}: {escape(facts.name)}, {facts.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.is_available():
        console.print(f"  {_LACKING} no CUDA device: everything runs, but the large models are slow")

    console.print(f"\n[bold]data[/bold] ($BENCH_DATA is {escape(os.environ.get('BENCH_DATA') or 'not set')})")
    for info in DATASETS.values():
        try:
            dataset = open_dataset(info.name)
            of = f" of {dataset.expected}" if dataset.expected and not dataset.complete else ""
            console.print(f"  {_GOOD} {info.name}: {len(dataset)}{of} photographs in {escape(str(dataset.root))}")
        except DatasetError:
            console.print(f"  {_LACKING} {info.name}: not found; {escape(info.obtain)}")

    console.print(f"\n[bold]weights[/bold] (cache: {escape(str(cache_dir()))})")
    folder = cached_path(next(iter(BACKBONES.values())), "backbones").parent
    console.print(f"  files of your own for metrics and losses go into {escape(str(folder))}")
    for status in catalogue():
        reference = escape(status.reference)
        if status.status == "absent":
            console.print(f"  {_LACKING} {reference}: `bench weights fetch {reference}`")
        else:
            console.print(f"  {_GOOD} {reference}: {status.status}")
