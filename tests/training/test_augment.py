from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from scipy import stats
from skimage import data

from bench.training.augment import augment, gray, saturate, turn_hue
from bench.training.config import AugmentConfig
from bench.training.hinting import simulate_hints
from bench.training.randomness import integers, normal, sample_seeds, uniform

SEEDS = sample_seeds(0, torch.arange(4000))


def photograph() -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(data.astronaut()[100:148, 180:228])).permute(2, 0, 1)


def test_draws_have_the_distributions_they_should() -> None:
    assert stats.kstest(uniform(SEEDS, (2,), "a").flatten().numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(normal(SEEDS, (2,), "a").flatten().numpy(), "norm").pvalue > 0.01
    counts = torch.bincount(integers(SEEDS, (), 10, "a"), minlength=10)
    assert stats.chisquare(counts.numpy()).pvalue > 0.01
    draws = torch.stack([uniform(SEEDS, (), "a"), uniform(SEEDS, (), "b"), uniform(SEEDS.roll(1), (), "a")])
    assert (torch.corrcoef(draws) - torch.eye(3)).abs().max() < 0.06
    assert len(sample_seeds(1, torch.arange(100_000)).unique()) == 100_000


def test_a_draw_belongs_to_the_photograph_not_to_the_batch() -> None:
    together = normal(SEEDS[:8], (3, 5), "noise")
    assert torch.equal(normal(SEEDS[5:7], (3, 5), "noise"), together[5:7])


@pytest.mark.parametrize("crop", ["random", "center", "resized"])
def test_an_augmentation_belongs_to_the_photograph_not_to_the_batch(crop: str) -> None:
    config = AugmentConfig(size=32, crop=crop, brightness=0.3, contrast=0.1, saturation=(1, 2), hue=0.05)
    images = torch.stack([photograph(), photograph().flip(1), photograph().flip(2)])
    together = augment(images, SEEDS[:3], config)
    assert together.shape == (3, 3, 32, 32)
    assert 0 <= together.min() <= together.max() <= 1
    assert torch.allclose(augment(images[2:], SEEDS[2:3], config), together[2:], atol=1e-6)


def test_random_crops_are_parts_of_the_photograph_and_reach_every_corner() -> None:
    image = torch.arange(36).view(1, 6, 6).expand(3, 6, 6).to(torch.uint8)
    config = AugmentConfig(size=8, crop="random").model_copy(update={"size": 4})
    crops = (augment(image.expand(400, 3, 6, 6), SEEDS[:400], config) * 255).round().long()[:, 0]
    wanted = {}
    for y in range(3):
        for x in range(3):
            part = image[0, y : y + 4, x : x + 4].long()
            wanted[tuple(part.flatten().tolist())] = wanted[tuple(part.flip(1).flatten().tolist())] = 0
    for crop in crops:
        wanted[tuple(crop.flatten().tolist())] += 1  # KeyError: not a part of the photograph
    assert len(wanted) == 18
    assert min(wanted.values()) > 5


def test_the_central_crop_is_the_middle() -> None:
    config = AugmentConfig(size=32, crop="center", flip=False)
    found = augment(photograph()[None], SEEDS[:1], config)
    assert torch.equal(found[0], tv.center_crop(photograph(), [32, 32]) / 255)


def test_a_whole_resized_crop_is_a_bilinear_resize() -> None:
    config = AugmentConfig(size=48, crop="resized", crop_scale=(1, 1), flip=False)
    square = torch.nn.functional.interpolate(photograph()[None].float(), 48)
    seeds = SEEDS[:200]
    ratio = uniform(seeds, (4,), "crop")[:, 1]
    nearly = seeds[(ratio - 0.5).abs().argmin()][None]
    assert (augment(square.to(torch.uint8), nearly, config) - square / 255).abs().mean() < 0.01


def test_saturation_is_torchvisions() -> None:
    rgb = photograph()[None].float() / 255
    assert (saturate(rgb, 1.2) - tv.adjust_saturation(rgb, 1.2)).abs().max() < 1e-3


def test_turning_the_hue_keeps_gray_and_luma_and_comes_back() -> None:
    rgb = photograph()[None].float() / 255
    angle = torch.tensor(0.4).view(1, 1, 1, 1)
    turned = turn_hue(rgb, angle)
    assert (turned - rgb).abs().max() > 0.05
    assert (gray(turned) - gray(rgb)).abs().max() < 2e-3
    assert (turn_hue(turned, -angle) - rgb).abs().max() < 1e-4
    flat = torch.full((1, 3, 2, 2), 0.4)
    assert (turn_hue(flat, angle) - flat).abs().max() < 1e-3


def test_simulated_hints_have_the_number_place_and_colour_they_should() -> None:
    ab = torch.randn(600, 2, 48, 48, generator=torch.Generator().manual_seed(0)) * 20
    hints = simulate_hints(ab, SEEDS[:600], 0.5)
    empty = (hints.mask.flatten(1).sum(dim=1) == 0).float().mean().item()
    assert abs(empty - 0.5) < 0.06  # P(0) = p
    assert set(hints.mask.unique().tolist()) == {0.0, 1.0}
    assert bool((hints.ab[(hints.mask == 0).expand_as(hints.ab)] == 0).all())
    single = [i for i in range(600) if len(hints.ab[i, 0][hints.mask[i, 0] > 0].unique()) == 1]
    sides = set()
    for i in single[:150]:
        rows, columns = hints.mask[i, 0].nonzero().T
        y, x = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        sides.add((y.stop - y.start).item())
        if hints.mask[i, 0, y, x].all() and y.stop - y.start == x.stop - x.start:
            assert torch.allclose(hints.ab[i, :, y, x], ab[i, :, y, x].mean(dim=(1, 2), keepdim=True), atol=1e-4)
    assert {1, 9} <= sides
    assert simulate_hints(ab[:2], SEEDS[:2], 1.0).mask.sum() == 0


def test_hints_do_not_ask_the_device_for_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meta tensors have no values: whatever read one would raise."""
    ab = torch.randn(6, 2, 24, 24, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="stop_probability"):
        simulate_hints(ab, SEEDS[:6], 0.0)
    found = simulate_hints(ab.to("meta"), SEEDS[:6].to("meta"), 0.2, SEEDS[:6])
    assert found.ab.is_meta
    assert found.mask.shape == (6, 1, 24, 24)
    here, told = simulate_hints(ab, SEEDS[:6], 0.2), simulate_hints(ab, SEEDS[:6], 0.2, SEEDS[:6])
    assert torch.equal(here.ab, told.ab)
    assert torch.equal(here.mask, told.mask)


def test_augmentation_makes_no_tensors_of_numbers_for_the_device() -> None:
    """A copy from the host to a meta tensor is as invisible as one to a GPU is slow: count them."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Copies(TorchDispatchMode):
        found = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.found += str(func) in ("aten._to_copy.default", "aten.lift_fresh.default")
            return func(*args, **(kwargs or {}))

    rgb = photograph()[None].float() / 255
    with Copies() as copies:
        turn_hue(saturate(rgb, 1.2), torch.full((1, 1, 1, 1), 0.4))
    assert copies.found == 0
