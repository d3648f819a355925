"""What holds for every metric, and how they are found by name."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import Tensor, nn

import bench.metrics
from bench import weights
from bench.errors import UnknownNameError, WeightsError
from bench.metrics import DEFAULT, NUMBERS, Metric, build_metrics
from bench.metrics.base import DistributionMetric, ImageMetric
from bench.metrics.diversity import Diversity

NEED_NO_WEIGHTS = ["fcd", "psnr", "ssim", "cf", "auc"]


class Corners(nn.Module):
    """Stands in for Inception: 2048 values of which a dozen vary."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat((images[:, :, ::298, ::298].flatten(1), images.new_zeros(len(images), 2036)), dim=1)


class Difference(nn.Module):
    """Stands in for LPIPS."""

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        return (one - two).abs().mean(dim=(1, 2, 3), keepdim=True)


@pytest.fixture
def every(monkeypatch: pytest.MonkeyPatch) -> list[Metric]:
    """One of each metric, with light networks in place of the real ones."""
    monkeypatch.setattr("bench.metrics.fid.tensorflow_inception", Corners)
    monkeypatch.setattr("bench.metrics.fid.torchvision_inception", Corners)
    monkeypatch.setattr("bench.metrics.lpips.lpips_network", lambda net, backbone: Difference())
    metrics, absent = build_metrics(NUMBERS)
    assert set(absent) == {"diversity"}  # of several colourings, which only a stochastic model gives
    assert "--colourings" in absent["diversity"]
    return metrics


def test_every_number_is_reported_by_its_metric(every: list[Metric]) -> None:
    reported = {number: type(metric) for metric in every for number in metric.numbers}
    reported["diversity"] = Diversity
    assert set(reported) == set(NUMBERS)
    for name, number in NUMBERS.items():
        module, _, attribute = number.metric.partition(":")
        assert reported[name] is getattr(importlib.import_module(module), attribute)
    assert len({type(metric).__name__ for metric in every}) == len(every)


def test_every_metric_is_of_one_kind(every: list[Metric]) -> None:
    assert all(isinstance(metric, ImageMetric) != isinstance(metric, DistributionMetric) for metric in every)


def test_columns_are_distinct(every: list[Metric]) -> None:
    columns = [column for metric in every if isinstance(metric, ImageMetric) for column in metric.columns]
    assert len(set(columns)) == len(columns)
    assert not {"index", "name", "gray"} & set(columns)


def test_halves_merge_into_the_whole(every: list[Metric], photos: Tensor, noisy: Tensor) -> None:
    for metric in every:
        if metric.numbers[0].startswith("fid"):
            continue  # the code of fcd, but the eigenvalues of 2048 features take their time
        metric.update(noisy[:40], photos[:40])
        whole = metric.compute()
        halves = []
        for half in (slice(0, 17), slice(17, 40)):
            metric.reset()
            metric.update(noisy[half], photos[half])
            halves.append(metric.state_tensors())
        metric.reset()
        for states in halves:
            metric.merge_tensors(states)
        for number, value in metric.compute().items():
            assert value.item() == pytest.approx(whole[number].item(), rel=1e-6, abs=1e-6), number


def test_values_of_an_image_do_not_depend_on_its_batch(every: list[Metric], photos: Tensor, noisy: Tensor) -> None:
    for metric in every:
        if isinstance(metric, ImageMetric):
            together = metric.measure(noisy[:6], photos[:6])
            alone = [metric.measure(noisy[i : i + 1], photos[i : i + 1]) for i in range(6)]
            assert tuple(together) == metric.columns
            for column, values in together.items():
                assert values.dtype == torch.float64
                np.testing.assert_allclose(values, torch.cat([a[column] for a in alone]), rtol=1e-5, atol=1e-5)


def test_states_filled_in_inference_mode_can_be_used_outside(photos: Tensor, noisy: Tensor) -> None:
    metrics, _ = build_metrics(NEED_NO_WEIGHTS)
    for metric in metrics:
        with torch.inference_mode():
            metric.update(noisy[:20], photos[:20])
            states = metric.state_tensors()
        metric.update(noisy[20:40], photos[20:40])
        metric.merge_tensors(states)
        assert all(torch.isfinite(value) for value in metric.compute().values())


def test_autocast_outside_changes_nothing(photos: Tensor, noisy: Tensor) -> None:
    metrics, _ = build_metrics(NEED_NO_WEIGHTS)
    for metric in metrics:
        metric.update(noisy[:20], photos[:20])
        plain = metric.compute()
        metric.reset()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            metric.update(noisy[:20], photos[:20])
        assert metric.compute() == plain


def test_merged_states_compute_without_complaint() -> None:
    metrics, _ = build_metrics(["psnr"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics[0].merge_tensors({"total": torch.tensor([60.0], dtype=torch.float64), "count": torch.tensor(2.0)})
        assert metrics[0].compute()["psnr"].item() == 30


def test_a_metric_is_built_once() -> None:
    metrics, absent = build_metrics(["cf", "psnr", "dcf", "cf_hasler"])
    assert [type(metric).__name__ for metric in metrics] == ["Colourfulness", "PSNR"]
    assert absent == {}


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown metric 'psrn'. Did you mean psnr"):
        build_metrics(["psrn"])


def test_missing_weights_are_a_reason_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> None:
        raise WeightsError(f"fetch {name}")

    monkeypatch.setattr(weights, "find_backbone", nowhere)
    metrics, absent = build_metrics(["fid", "psnr", "lpips_vgg", "fid_ct2"])
    assert [metric.numbers for metric in metrics] == [("psnr",)]
    assert absent == {
        "fid": "fetch inception-fid",
        "lpips_vgg": "fetch vgg16",
        "fid_ct2": "fetch inception-torchvision",
    }


def test_without_originals(photos: Tensor) -> None:
    metrics, absent = build_metrics(DEFAULT, has_target=False)
    assert [metric.numbers for metric in metrics] == [("cf", "cf_hasler")]
    assert set(absent) == set(DEFAULT) - {"cf", "cf_hasler"}
    assert set(absent.values()) == {"needs a colour reference"}
    metrics[0].update(photos[:2], None)
    assert metrics[0].compute()["cf"].item() > 0


def test_float64_stays_off_devices_that_have_none() -> None:
    metrics, _ = build_metrics(["psnr"], device="mps")
    assert metrics[0].device == torch.device("cpu")


def test_defaults_leave_out_the_legacy_variants() -> None:
    assert set(NUMBERS) - set(DEFAULT) == {"fid_ct2", "fid_ddcolor", "auc", "auc_rebalanced", "diversity"}
    assert len({number.label for number in NUMBERS.values()}) == len(NUMBERS)


def test_diversity_is_the_mean_ab_distance_of_all_pairs(photos: Tensor, noisy: Tensor) -> None:
    first, second, third = photos[:2], noisy[:2], photos[2:4]
    measured = Diversity().measure_set(torch.stack((first, second, third)))["diversity"]
    for i in range(2):
        ab = [rgb2lab(images[i].permute(1, 2, 0).numpy())[..., 1:] for images in (first, second, third)]
        pairs = [(0, 1), (0, 2), (1, 2)]
        expected = np.mean([np.linalg.norm(ab[j] - ab[k], axis=-1).mean() for j, k in pairs])
        assert measured[i].item() == pytest.approx(expected, abs=1e-3)
    assert Diversity().measure_set(torch.stack((first, first)))["diversity"].tolist() == [0, 0]


def test_the_catalogue_needs_no_torch() -> None:
    code = "import sys, bench.metrics; sys.exit('torch' in sys.modules or not bench.metrics.NUMBERS)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bench.metrics.nothing  # noqa: B018


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_numbers(photos: Tensor, noisy: Tensor) -> None:
    here, _ = build_metrics(NEED_NO_WEIGHTS)
    there, _ = build_metrics(NEED_NO_WEIGHTS, device="cuda")
    for on_cpu, on_gpu in zip(here, there, strict=True):
        on_cpu.update(noisy, photos)
        on_gpu.update(noisy.cuda(), photos.cuda())
        for number, value in on_gpu.compute().items():
            assert value.item() == pytest.approx(on_cpu.compute()[number].item(), rel=1e-4), number
