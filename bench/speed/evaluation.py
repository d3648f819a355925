"""The streaming pass against the usual three steps, on the same photographs and the same cores.

The usual way: colour every photograph alone with OpenCV around the network and write a PNG; read the PNGs back and
score them with scikit-image; read them a third time for pytorch-fid. Where Inception's weights are not here, both
sides run the same untrained Inception: the time is the same, the value is thrown away.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from bench.checkpoints import file_sha256
from bench.colorizer import Colorizer
from bench.datasets import Dataset, open_dataset
from bench.errors import BenchError, WeightsError
from bench.evaluation import Settings, evaluate
from bench.loading import load_model
from bench.metrics.fid import tensorflow_layout
from bench.protocol import Preprocessing, Protocol
from bench.weights import BACKBONES, find_backbone, locate

SIDE = 256
NUMBERS = ["psnr", "ssim", "cf", "fid"]


def compare(model: str, dataset: str, limit: int, threads: int, console: Console) -> None:
    """Time both ways and print seconds and ratios."""
    try:
        import cv2
    except ImportError as error:
        raise BenchError("`bench speed evaluation` needs OpenCV: pip install opencv-python-headless.") from error
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    photos = repeated(open_dataset(dataset), limit)
    network = load_model(model, device="cpu")
    with tempfile.TemporaryDirectory() as scratch, private_cache(Path(scratch) / "cache") as trained:
        usual = usual_way(network, photos, Path(scratch) / "png")
        first = streaming_pass(network, photos, Path(scratch) / "first")
        second = streaming_pass(network, photos, Path(scratch) / "second")
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("way")
    table.add_column("seconds", justify="right")
    table.add_column("times faster", justify="right")
    for step, seconds in usual.items():
        table.add_row(f"[dim]  {step}[/dim]", f"[dim]{seconds:.1f}[/dim]", "")
    total = sum(usual.values())
    table.add_row("usual three steps", f"{total:.1f}", "1.0")
    table.add_row("bench run, first model on a dataset", f"{first:.1f}", f"{total / first:.1f}")
    table.add_row("bench run, further models (originals' features cached)", f"{second:.1f}", f"{total / second:.1f}")
    console.print(f"{model} on {len(photos)} photographs of {dataset}, {', '.join(NUMBERS)}, {threads} CPU threads")
    console.print(table)
    if not trained:
        console.print("[dim]Inception was untrained on both sides (its weights are not here): timing only.[/dim]")


def repeated(dataset: Dataset, n: int) -> Dataset:
    """Exactly ``n`` photographs: the dataset over and over, under new names."""
    order = [i % len(dataset) for i in range(n)]
    names = tuple(f"{i:05d}-{dataset.names[k]}" for i, k in enumerate(order))
    return replace(dataset, names=names, paths=tuple(dataset.paths[k] for k in order), expected=None)


@contextmanager
def private_cache(folder: Path) -> Iterator[bool]:
    """An empty cache, so that nothing is reused from before; yields whether Inception has its real weights."""
    inception, before = BACKBONES["inception-fid"], os.environ.get("BENCH_CACHE")
    try:
        real: Path | None = find_backbone(inception.name)
    except WeightsError:
        real = None
    os.environ["BENCH_CACHE"] = str(folder)
    try:
        place = locate(inception, "backbones")
        place.parent.mkdir(parents=True)
        if real is not None:
            place.symlink_to(real.resolve())
        else:
            torch.save(tensorflow_layout().state_dict(), place)
            BACKBONES[inception.name] = replace(inception, sha256=file_sha256(place))
        yield real is not None
    finally:
        BACKBONES[inception.name] = inception
        os.environ.pop("BENCH_CACHE")
        if before is not None:
            os.environ["BENCH_CACHE"] = before


def streaming_pass(network: Colorizer, photos: Dataset, store: Path) -> float:
    """Seconds of ``bench.evaluate``, starting with the loading of the metrics."""
    preprocessing = Preprocessing(crop="none", size=SIDE, resample="bilinear")
    protocol = Protocol(name="speed", description="timing", preprocessing=preprocessing, metrics=NUMBERS)
    start = time.perf_counter()
    evaluate(network, photos, protocol, device="cpu", store=store, settings=Settings(samples=0))
    return time.perf_counter() - start


def usual_way(network: Colorizer, photos: Dataset, folder: Path) -> dict[str, float]:
    """Seconds of each of the three steps."""
    (folder / "prediction").mkdir(parents=True)
    (folder / "target").mkdir()
    return {
        "colour to PNG with OpenCV, one by one": timed(lambda: colour_to_png(network, photos, folder)),
        "read back, score with scikit-image": timed(lambda: score(folder)),
        "read back, pytorch-fid": timed(lambda: fid(folder)),
    }


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@torch.inference_mode()
def colour_to_png(network: Colorizer, photos: Dataset, folder: Path) -> None:
    import cv2

    side = network.working_size or SIDE
    for i, path in enumerate(photos.paths):
        photo = cv2.resize(np.asarray(cv2.imread(str(path)), np.float32) / 255, (SIDE, SIDE))
        lightness = cv2.cvtColor(photo, cv2.COLOR_BGR2LAB)[..., :1]
        small = cv2.cvtColor(cv2.resize(photo, (side, side)), cv2.COLOR_BGR2LAB)[..., 0]
        ab = F.interpolate(network(torch.from_numpy(small)[None, None]), (SIDE, SIDE), mode="bilinear")
        lab = np.concatenate((lightness, ab[0].permute(1, 2, 0).numpy()), axis=-1)
        coloured = (cv2.cvtColor(lab, cv2.COLOR_LAB2BGR) * 255).round().astype(np.uint8)
        cv2.imwrite(str(folder / "prediction" / f"{i:05d}.png"), coloured)
        cv2.imwrite(str(folder / "target" / f"{i:05d}.png"), (photo * 255).round().astype(np.uint8))


def score(folder: Path) -> None:
    import cv2
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    for path in sorted((folder / "prediction").iterdir()):
        prediction, target = cv2.imread(str(path)), cv2.imread(str(folder / "target" / path.name))
        peak_signal_noise_ratio(target, prediction, data_range=255)
        structural_similarity(
            target, prediction, channel_axis=2, gaussian_weights=True, use_sample_covariance=False, data_range=255
        )
        for image in (prediction, target):
            blue, green, red = np.asarray(image, np.float64).transpose(2, 0, 1)
            rg, yb = np.abs(red - green), np.abs((red + green) / 2 - blue)
            np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())


def fid(folder: Path) -> None:
    from pytorch_fid import fid_score, inception
    from scipy.linalg import sqrtm

    state = torch.load(locate(BACKBONES["inception-fid"], "backbones"), weights_only=True)
    load = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *_args, **_options: state
    try:
        network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]])
    finally:
        inception.load_state_dict_from_url = load
    means, covs = zip(
        *(
            fid_score.calculate_activation_statistics(sorted((folder / side).iterdir()), network, 50, 2048, "cpu", 0)
            for side in ("prediction", "target")
        ),
        strict=True,
    )
    # pytorch-fid's own formula; its function stops working with SciPy 1.18.
    root = sqrtm(covs[0] @ covs[1]).real
    ((means[0] - means[1]) ** 2).sum() + np.trace(covs[0] + covs[1] - 2 * root)
