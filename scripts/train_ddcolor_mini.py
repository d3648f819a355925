"""Train ddcolor-mini on a CPU: photographs in tar shards -> models/weights/ddcolor-mini.safetensors.

Resumable: a checkpoint is written every minute and picked up by the next call; Ctrl-C loses at most that minute.

The shipped weights took two calls on one CPU core:

    python scripts/train_ddcolor_mini.py --shards DIR --minutes 32 --side 64 --resize 72 --batch-size 32 \\
        --learning-rate 2e-3 --checkpoint runs/64.pt --out runs/64.safetensors
    python scripts/train_ddcolor_mini.py --shards DIR --minutes 45 --learning-rate 8e-4 --colour-weight 0.05 \\
        --start-from runs/64.pt --checkpoint runs/128.pt
"""

from __future__ import annotations

import io
import math
import tarfile
import time
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from bench.color import join, rgb_to_lab
from models.ddcolor import DDColor, ddcolor_mini

WEIGHTS = Path(__file__).parents[1] / "models" / "weights" / "ddcolor-mini.safetensors"


def read_shards(folder: Path, size: int) -> Tensor:
    """Every photograph of the shards as one (N, 3, size, size) uint8 tensor."""
    photos = []
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                if (data := archive.extractfile(member)) is not None:
                    photo = Image.open(io.BytesIO(data.read())).convert("RGB")
                    photos.append(np.asarray(photo.resize((size, size), Image.Resampling.BICUBIC)))
    if not photos:
        raise click.UsageError(f"no photographs in tar shards found in {folder}")
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).contiguous()


def batch_of(photos: Tensor, count: int, side: int, rng: np.random.Generator) -> Tensor:
    """Random crops, mirrored half of the time: (count, 3, side, side) uint8."""
    room = photos.shape[-1] - side
    crops = []
    for i in rng.integers(len(photos), size=count):
        y, x = rng.integers(room + 1, size=2)
        crop = photos[i, :, y : y + side, x : x + side]
        crops.append(crop.flip(-1) if rng.random() < 0.5 else crop)
    return torch.stack(crops)


def colourfulness(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) sRGB in [0, 1] -> (B,), as in the official training code (absolute opponents)."""
    red, green, blue = rgb.unbind(1)
    rg, yb = (red - green).abs().flatten(1), ((red + green) / 2 - blue).abs().flatten(1)
    spread = (rg.var(1) + yb.var(1) + 1e-8).sqrt()
    return spread + 0.3 * (rg.mean(1) ** 2 + yb.mean(1) ** 2 + 1e-8).sqrt()


def loss_of(model: DDColor, rgb: Tensor, colour_weight: float) -> dict[str, Tensor]:
    lab = rgb_to_lab(rgb)
    lightness, target = lab[:, :1], lab[:, 1:]
    predicted = model(lightness)
    pixel = 0.1 * F.l1_loss(predicted, target)
    return {"pixel": pixel, "colour": colour_weight * (1 - colourfulness(join(lightness, predicted)).mean())}


def save(path: Path, **content: object) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save(content, temporary)
    temporary.replace(path)


def export(model: DDColor, state: dict[str, Tensor], path: Path) -> None:
    """Fold, halve and write: what the package ships."""
    model = ddcolor_mini()
    model.load_weights(state)
    model.prepare_for_inference()
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    path.parent.mkdir(exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, path)


@click.command(help=__doc__)
@click.option("--shards", type=click.Path(path_type=Path, exists=True), required=True, help="Folder of *.tar shards.")
@click.option("--minutes", type=float, default=60, show_default=True, help="Time of this call.")
@click.option("--total-minutes", type=float, default=None, help="Length of the whole schedule; default: --minutes.")
@click.option("--side", type=int, default=128, show_default=True, help="Side of the crops.")
@click.option("--resize", type=int, default=144, show_default=True, help="Side the photographs are brought to.")
@click.option("--batch-size", type=int, default=16, show_default=True)
@click.option("--learning-rate", type=float, default=1e-3, show_default=True)
@click.option("--colour-weight", type=float, default=0.5, show_default=True, help="Of the colourfulness loss.")
@click.option("--start-from", type=click.Path(path_type=Path), help="Checkpoint whose weights to begin with.")
@click.option("--checkpoint", type=click.Path(path_type=Path), default=Path("runs/ddcolor-mini.pt"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS, show_default=True)
def main(
    shards: Path,
    minutes: float,
    total_minutes: float | None,
    side: int,
    resize: int,
    batch_size: int,
    learning_rate: float,
    colour_weight: float,
    start_from: Path | None,
    checkpoint: Path,
    out: Path,
) -> None:
    torch.manual_seed(0)
    photos = read_shards(shards, resize)
    model = ddcolor_mini()
    if start_from is not None:
        model.load_state_dict(torch.load(start_from, weights_only=True)["ema"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    ema = {k: v.clone() for k, v in model.state_dict().items()}
    step, elapsed = 0, 0.0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        ema, step, elapsed = saved["ema"], saved["step"], saved["elapsed"]
    rng = np.random.default_rng(step)
    total = 60 * (total_minutes or minutes)
    begun, saved_at, before = time.monotonic(), time.monotonic(), elapsed
    model.train()
    while elapsed < total and elapsed - before < 60 * minutes:
        progress = elapsed / total
        rate = learning_rate * min(1.0, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        terms = loss_of(model, batch_of(photos, batch_size, side, rng), colour_weight)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise click.ClickException(f"step {step}: the loss is {loss.item()}; the last checkpoint is {checkpoint}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            for key, value in model.state_dict().items():
                ema[key].lerp_(value, 1 - decay) if value.is_floating_point() else ema[key].copy_(value)
        elapsed = before + time.monotonic() - begun
        if step % 50 == 0:
            figures = " ".join(f"{name} {value.item():.4f}" for name, value in terms.items())
            print(f"{elapsed / 60:6.1f} min  step {step:6d}  lr {rate:.1e}  {figures}", flush=True)
        if time.monotonic() - saved_at > 60:
            save(
                checkpoint,
                model=model.state_dict(),
                optimizer=optimizer.state_dict(),
                ema=ema,
                step=step,
                elapsed=elapsed,
            )
            saved_at = time.monotonic()
    save(checkpoint, model=model.state_dict(), optimizer=optimizer.state_dict(), ema=ema, step=step, elapsed=elapsed)
    export(model, ema, out)
    print(f"{step} steps of {batch_size} photographs in {elapsed / 60:.0f} minutes -> {out}")


if __name__ == "__main__":
    main()
