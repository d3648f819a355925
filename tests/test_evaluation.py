"""The streaming pass: right numbers, whatever the batch size, the interruptions and the number of processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

import bench
from bench.colorizer import Colorizer
from bench.datasets import open_dataset
from bench.errors import BenchError, DatasetError
from bench.evaluation import Settings
from bench.predictions import Predictions
from bench.protocol import Preprocessing, Protocol
from bench.runs import Run, Store

PROTOCOL = Protocol(
    name="test",
    description="small and fast",
    preprocessing=Preprocessing(crop="none", size=64, resample="bicubic"),
    metrics=["psnr", "ssim", "cf", "dcf", "dcf_image", "fcd", "fid"],
)
Photographs = Callable[..., Path]


def measure(folder: Path, store: Path, model: str = "gray", **how: object) -> Run:
    settings = Settings(**{"workers": 0, "samples": 2} | how)  # type: ignore[arg-type]
    weights = "random" if model != "gray" else None
    return bench.evaluate(
        model, f"folder:{folder}", PROTOCOL, weights=weights, device="cpu", store=store, settings=settings
    )


def values(run: Run) -> dict[str, float]:
    return {name: e.value for name, e in run.metrics.items() if e.value is not None}


def assert_same_numbers(a: Run, b: Run, tolerance: float = 1e-6) -> None:
    assert values(a).keys() == values(b).keys()
    for name, value in values(a).items():
        assert value == pytest.approx(values(b)[name], rel=tolerance, abs=tolerance), name


def test_gray_scores_what_scikit_image_says(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(5)
    run = measure(folder, tmp_path / "runs")
    expected = []
    for file in sorted(folder.iterdir()):
        target = np.asarray(Image.open(file).resize((64, 64), Image.Resampling.BICUBIC))
        lab = rgb2lab(target)
        lab[..., 1:] = 0
        gray = np.round(lab2rgb(lab) * 255).astype(np.uint8)
        expected.append(peak_signal_noise_ratio(target, gray, data_range=255))
    psnr = run.metrics["psnr"]
    assert psnr.value == pytest.approx(np.mean(expected), abs=2e-3)
    assert psnr.n == 5
    assert psnr.low is not None
    assert psnr.high is not None
    assert min(expected) <= psnr.low < psnr.value < psnr.high <= max(expected)
    # Not quite 0: with scikit-image's constants (L, 0, 0) rounds to channels that differ by 1 in some pixels.
    assert run.metrics["cf"].value == pytest.approx(0, abs=0.1)
    assert run.complete
    assert run.dataset.gray == 0


def test_a_metric_without_its_weights_is_absent_with_its_reason(photographs: Photographs, tmp_path: Path) -> None:
    fid = measure(photographs(2), tmp_path / "runs").metrics["fid"]
    assert fid.value is None
    assert fid.reason is not None
    assert "bench weights fetch" in fid.reason


def test_the_run_is_stored_whole(photographs: Photographs, tmp_path: Path) -> None:
    run = measure(photographs(3), tmp_path / "runs")
    store = Store(tmp_path / "runs")
    assert list(store) == [run]
    rows = store.rows(run)
    assert list(rows["name"]) == ["photo0000.png", "photo0001.png", "photo0002.png"]
    assert run.metrics["psnr"].value == pytest.approx(rows["psnr"].mean())
    samples = sorted(p.name for p in (store.root / run.folder / "samples").iterdir())
    assert samples == ["000000.prediction.png", "000000.target.png", "000002.prediction.png", "000002.target.png"]
    assert not list(store.root.rglob("*.partial"))
    assert json.loads((store.root / run.folder / "result.json").read_text())["schema_version"] == 1


def test_batch_size_does_not_matter(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(7)
    one = measure(folder, tmp_path / "one", model="ddcolor-mini", batch_size=1)
    many = measure(folder, tmp_path / "many", model="ddcolor-mini", batch_size=16)
    assert_same_numbers(one, many, tolerance=1e-4)


def test_workers_do_not_matter(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(6)
    assert_same_numbers(measure(folder, tmp_path / "a"), measure(folder, tmp_path / "b", workers=2, batch_size=2))


def test_a_finished_run_answers_again_but_never_for_other_photographs(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(3)
    first = measure(folder, tmp_path / "runs")
    assert measure(folder, tmp_path / "runs") == first
    assert measure(folder, tmp_path / "runs", resume=False) != first
    photo = folder / "photo0001.png"
    Image.open(photo).rotate(180).save(photo)
    second = measure(folder, tmp_path / "runs")
    assert second.key != first.key
    assert second.dataset.digest != first.dataset.digest


KILLED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    import bench
    from bench.evaluation import Settings
    from test_evaluation import PROTOCOL

    def die(done, total):
        if done >= 6:
            signal.raise_signal(signal.SIGKILL)

    bench.evaluate("ddcolor-mini", "folder:{folder}", PROTOCOL, weights="random", device="cpu", store={store!r},
                   settings=Settings(batch_size=2, workers=0, checkpoint_seconds=0), on_progress=die)
"""


@pytest.mark.slow
def test_kill_and_resume_ends_with_the_numbers_of_an_unbroken_run(photographs: Photographs, tmp_path: Path) -> None:
    folder, store = photographs(12), tmp_path / "killed"
    script = dedent(KILLED).format(tests=str(Path(__file__).parent), folder=folder, store=str(store))
    died = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert list(store.rglob("part-*.pt"))
    assert not list(store.rglob("result.json"))

    seen: list[int] = []
    settings = Settings(batch_size=2, workers=0)
    resumed = bench.evaluate(
        "ddcolor-mini",
        f"folder:{folder}",
        PROTOCOL,
        weights="random",
        device="cpu",
        store=store,
        settings=settings,
        on_progress=lambda done, _total: seen.append(done),
    )
    assert seen[0] >= 6  # what was measured before the kill was not measured again
    assert seen[-1] == 12
    assert_same_numbers(resumed, measure(folder, tmp_path / "unbroken", model="ddcolor-mini", batch_size=2))


def run_bench(*arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(launcher or ("-m", "bench")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(9)
    verb = ("run", "--model", "ddcolor-mini", "--weights", "random", "--dataset", f"folder:{folder}", "--json")
    options = (*verb, "--device", "cpu", "--workers", "0", "--batch-size", "2", "--limit", "9")
    one = run_bench(*options, "--out", str(tmp_path / "one"))
    assert one.returncode == 0, one.stderr
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "bench")
    two = run_bench(*options, "--out", str(tmp_path / "two"), launcher=launcher)
    assert two.returncode == 0, two.stderr
    (a,), (b,) = json.loads(one.stdout), json.loads(two.stdout)
    assert (a["speed"]["processes"], b["speed"]["processes"]) == (1, 2)
    assert b["dataset"]["n"] == 9
    assert_same_numbers(Run.model_validate(a), Run.model_validate(b), tolerance=1e-4)


def test_an_unreadable_photograph_is_named_and_marks_the_run(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(3)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff but no photograph")
    run = measure(folder, tmp_path / "runs")
    assert not run.complete
    assert [failure.name for failure in run.failures] == ["broken.jpg"]
    assert run.dataset.n == run.metrics["psnr"].n == 3
    with pytest.raises(DatasetError, match="broken.jpg"):
        measure(folder, tmp_path / "strict", strict=True)


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="none of the 1 photographs"):
        measure(tmp_path / "photos", tmp_path / "runs")


def test_a_damaged_result_is_an_error_with_its_path(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(2)
    run = measure(folder, tmp_path / "runs")
    path = tmp_path / "runs" / run.folder / "result.json"
    path.write_text(path.read_text().replace('"complete"', '"compleet"'))
    with pytest.raises(BenchError, match="result.json"):
        measure(folder, tmp_path / "runs")


def test_without_a_reference_only_what_needs_none_is_measured(photographs: Photographs, tmp_path: Path) -> None:
    photographs(2, name="historical")
    historical = open_dataset("historical", data_root=tmp_path)
    run = bench.evaluate(
        "gray", historical, PROTOCOL, device="cpu", store=tmp_path / "runs", settings=Settings(workers=0)
    )
    assert set(values(run)) == {"cf"}
    assert run.metrics["psnr"].reason is not None
    assert "reference" in run.metrics["psnr"].reason


MEMORY = """
    import resource, sys
    sys.path.insert(0, {tests!r})
    import bench
    from bench.evaluation import Settings
    from test_evaluation import PROTOCOL
    run = bench.evaluate("gray", "folder:{folder}", PROTOCOL, device="cpu", store={store!r},
                         settings=Settings(workers=0, samples=0, checkpoint_seconds=1))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, run.dataset.n)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_dataset(photographs: Photographs, tmp_path: Path) -> None:
    peaks = {}
    for n in (200, 2000):
        folder = photographs(n, name=f"photos{n}")
        script = dedent(MEMORY).format(tests=str(Path(__file__).parent), folder=folder, store=str(tmp_path / "runs"))
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peak, measured = map(int, done.stdout.split())
        assert measured == n
        peaks[n] = peak
    assert peaks[2000] < 1.1 * peaks[200]


def test_images_coloured_elsewhere_are_measured_like_a_model(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(3)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for i, file in enumerate(sorted(folder.iterdir())):
        Image.open(file).convert("L").save(elsewhere / f"{file.stem}.{'png' if i else 'webp'}", lossless=True)
    settings = Settings(workers=0)
    run = bench.evaluate(
        Predictions(elsewhere), f"folder:{folder}", PROTOCOL, device="cpu", store=tmp_path / "runs", settings=settings
    )
    assert (run.model.name, run.model.source, run.complete) == ("elsewhere", "predictions", True)
    assert run.metrics["cf"].value == 0
    target = [np.asarray(Image.open(f).resize((64, 64), Image.Resampling.BICUBIC)) for f in sorted(folder.iterdir())]
    gray = [
        Image.open(f).convert("L").convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)
        for f in sorted(folder.iterdir())
    ]
    expected = np.mean(
        [peak_signal_noise_ratio(t, np.asarray(g), data_range=255) for t, g in zip(target, gray, strict=True)]
    )
    assert run.metrics["psnr"].value == pytest.approx(expected, abs=1e-4)

    (elsewhere / "photo0001.png").unlink()
    some = bench.evaluate(
        Predictions(elsewhere, "x"),
        f"folder:{folder}",
        PROTOCOL,
        device="cpu",
        store=tmp_path / "runs",
        settings=settings,
    )
    assert [failure.name for failure in some.failures] == ["photo0001.png"]
    for image in elsewhere.iterdir():
        image.rename(image.with_stem("another-" + image.stem))
    with pytest.raises(DatasetError, match="named like a photograph"):
        Predictions(elsewhere).matched(open_dataset(f"folder:{folder}"))


def test_hints_bring_a_hinted_model_closer(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(4)
    oracle = measure(folder, tmp_path / "runs", model="oracle")
    assert values(oracle)["psnr"] > values(measure(folder, tmp_path / "runs"))["psnr"] + 3
    with pytest.raises(BenchError, match="takes no colour hints"):
        measure(folder, tmp_path / "runs", hints=5)
    first = measure(folder, tmp_path / "a", model="siggraph17-mini", hints=3, batch_size=1)
    second = measure(folder, tmp_path / "b", model="siggraph17-mini", hints=3, batch_size=4)
    assert_same_numbers(first, second, tolerance=1e-4)
    assert first.hints == 3


@pytest.mark.slow
def test_several_colourings_report_their_diversity(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(2)
    run = measure(folder, tmp_path / "a", model="lab-diffusion-mini", colourings=2, batch_size=1)
    again = measure(folder, tmp_path / "b", model="lab-diffusion-mini", colourings=2, batch_size=2)
    assert run.metrics["diversity"].value is not None
    assert run.metrics["diversity"].value > 1
    assert_same_numbers(run, again, tolerance=1e-3)
    with pytest.raises(BenchError, match="always gives the same colours"):
        measure(folder, tmp_path / "runs", colourings=2)


def test_a_model_that_returns_nan_is_refused(photographs: Photographs, tmp_path: Path) -> None:
    class Broken(Colorizer):
        def forward(self, lightness: Tensor, hints: object = None, generator: object = None) -> Tensor:
            return torch.full_like(lightness, float("nan")).repeat(1, 2, 1, 1)

    with pytest.raises(BenchError, match="NaN"):
        bench.evaluate(
            Broken(), f"folder:{photographs(2)}", PROTOCOL, device="cpu", store=tmp_path, settings=Settings(workers=0)
        )
    assert not list(tmp_path.rglob("result.json"))


def test_ctrl_c_saves_what_was_measured(photographs: Photographs, tmp_path: Path) -> None:
    folder, store = photographs(6), tmp_path / "runs"
    settings = Settings(batch_size=2, workers=0)
    seen: list[int] = []

    def interrupt(done: int, _total: int) -> None:
        seen.append(done)
        if done == 4:
            signal.raise_signal(signal.SIGINT)

    call = partial(bench.evaluate, "gray", f"folder:{folder}", PROTOCOL, device="cpu", store=store, settings=settings)
    with pytest.raises(KeyboardInterrupt):
        call(on_progress=interrupt)
    assert seen == [2, 4]
    run = call(on_progress=lambda done, _total: seen.append(done))
    assert seen == [2, 4, 6]
    assert_same_numbers(run, measure(folder, tmp_path / "unbroken"))


def test_one_run_at_a_time_measures_into_a_folder(photographs: Photographs, tmp_path: Path) -> None:
    folder, store = photographs(3), tmp_path / "runs"
    errors: list[str] = []

    def second(_done: int, _total: int) -> None:
        try:
            measure(folder, store)
        except BenchError as error:
            errors.append(str(error))

    settings = Settings(workers=0, samples=2)
    run = bench.evaluate(
        "gray", f"folder:{folder}", PROTOCOL, device="cpu", store=store, settings=settings, on_progress=second
    )
    assert errors
    assert "another run is measuring the same" in errors[0]
    assert run.dataset.n == 3


def reference_files() -> list[Path]:
    return sorted((Path(os.environ["BENCH_CACHE"]) / "reference").rglob("*.npz"))


def test_the_originals_statistics_are_shared_and_change_nothing(photographs: Photographs, tmp_path: Path) -> None:
    folder = photographs(5)
    first = measure(folder, tmp_path / "first", model="ddcolor-mini")
    (cached,) = reference_files()
    again = measure(folder, tmp_path / "again", model="ddcolor-mini")
    assert_same_numbers(first, again)
    with np.load(cached) as file:
        assert file["n"] == 5
        np.savez(cached, n=4, mean=file["mean"] + 1, cov=file["cov"])
    assert_same_numbers(first, measure(folder, tmp_path / "third", model="ddcolor-mini"))
    cached.write_bytes(b"damaged")
    assert_same_numbers(first, measure(folder, tmp_path / "fourth", model="ddcolor-mini"))


@pytest.mark.slow
def test_nodes_with_different_caches_give_the_same_numbers(photographs: Photographs, tmp_path: Path) -> None:
    """Only the second process has the originals' statistics: the first one decides."""
    folder, warm = photographs(8), tmp_path / "warm"
    script = tmp_path / "node.py"
    script.write_text(
        dedent(f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        if os.environ.get("RANK", "1") == "1":
            os.environ["BENCH_CACHE"] = {str(warm)!r}
        from pathlib import Path
        from test_evaluation import measure, values
        import json
        run = measure(Path({str(folder)!r}), Path(sys.argv[1]), model="ddcolor-mini", batch_size=2)
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(values(run)))
        """)
    )
    alone = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "a")], capture_output=True, text=True, check=True, timeout=300
    )
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        str(script),
        str(tmp_path / "b"),
    ]
    both = subprocess.run(launcher, capture_output=True, text=True, check=False, timeout=300)
    assert both.returncode == 0, both.stderr
    assert json.loads(both.stdout.splitlines()[-1]) == pytest.approx(json.loads(alone.stdout), rel=1e-4, abs=1e-4)


def test_incomplete_subsets_say_so_in_the_table(photographs: Photographs, tmp_path: Path) -> None:
    from rich.console import Console

    from bench.tables.terminal import print_results

    dataset = open_dataset(f"folder:{photographs(4)}").limited(2)
    run = bench.evaluate("gray", dataset, PROTOCOL, device="cpu", store=tmp_path, settings=Settings(workers=0))
    screen = Console(record=True, width=200)
    print_results([run], screen)
    assert "2/4" in screen.export_text()
