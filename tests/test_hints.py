"""Drawn hints against the law they follow, and hints of the user against scikit-image's colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.color import rgb2lab
from torch import Tensor

from bench.colorizer import Hints
from bench.errors import HintsError
from bench.hints import dense_hints, draw_hints, hints_from_points, parse_hint


def chroma(batch: int, height: int = 64, width: int = 64) -> Tensor:
    return (torch.rand(batch, 2, height, width, generator=torch.Generator().manual_seed(9)) - 0.5) * 200


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def box(mask: Tensor) -> tuple[int, int, int, int]:
    """(H, W) mask of one rectangle -> top, left, height, width."""
    rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
    top, left = int(rows[0]), int(columns[0])
    height, width = int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
    assert mask.sum() == height * width
    return top, left, height, width


def test_one_point_shows_the_mean_of_the_square_it_covers() -> None:
    ab = chroma(40)
    hints = draw_hints(ab, 1, generators(*range(40)))
    assert hints.ab.shape == (40, 2, 64, 64)
    assert hints.mask.shape == (40, 1, 64, 64)
    for image in range(40):
        top, left, height, width = box(hints.mask[image, 0])
        assert height == width <= 9
        covered = np.s_[top : top + height, left : left + width]
        for channel in range(2):
            mean = ab[image, channel].numpy()[covered].mean(dtype=np.float64)
            np.testing.assert_allclose(hints.ab[image, channel].numpy()[covered], mean, atol=1e-4)
    assert hints.ab[hints.mask.expand(-1, 2, -1, -1) == 0].abs().max() == 0


def test_sides_and_places_follow_the_published_law() -> None:
    n, side = 2000, 100
    ab = torch.zeros(1, 2, side, 2 * side).expand(n, -1, -1, -1)
    mask = draw_hints(ab, 1, generators(*range(n))).mask[:, 0]
    boxes = np.array([box(m) for m in mask])
    assert stats.chisquare(np.bincount(boxes[:, 2], minlength=10)[1:]).pvalue > 1e-3
    for start, length in ((boxes[:, 0], side), (boxes[:, 1], 2 * side)):
        room = length - boxes[:, 2]
        assert start.min() >= 0
        assert (start <= room).all()
        # Normal in the middle; what lies beyond two deviations is clipped to the borders: 2.3 % on either side.
        standardised = (start + 0.5 - (room + 1) / 2) / ((room + 1) / 4)
        inner = standardised[(start > 0) & (start < room)]
        bounded = stats.truncnorm(-2, 2)
        assert abs(inner.mean()) < 4 * bounded.std() / np.sqrt(n)
        assert inner.std() == pytest.approx(bounded.std(), rel=0.06)
        for share in ((start == 0).mean(), (start == room).mean()):
            assert share == pytest.approx(stats.norm.sf(2), abs=0.012)


def test_batch_size_changes_nothing() -> None:
    ab = chroma(3)
    together = draw_hints(ab, 12, generators(5, 6, 7))
    for image, seed in enumerate((5, 6, 7)):
        alone = draw_hints(ab[image : image + 1], 12, generators(seed))
        assert torch.equal(alone.ab[0], together.ab[image])
        assert torch.equal(alone.mask[0], together.mask[image])
    assert not torch.equal(together.mask[0], together.mask[1])


def test_more_points_extend_fewer_and_overwrite_them() -> None:
    ab = chroma(1, 16, 16)  # so small that squares must overlap
    few, many = (draw_hints(ab, count, generators(1)) for count in (20, 21))
    added = (many.mask != few.mask) | (many.ab != few.ab).any(dim=1, keepdim=True)
    assert bool((many.mask >= few.mask).all())
    top, left, height, width = box(added[0, 0])
    last = many.ab[0, :, top : top + height, left : left + width]
    assert bool((last == last[:, :1, :1]).all())
    overwritten = few.mask[0, 0, top : top + height, left : left + width]
    assert overwritten.sum() > 0


def test_no_points_and_images_smaller_than_a_patch() -> None:
    none = draw_hints(chroma(2), 0, generators(0, 1))
    assert none.mask.abs().max() == 0
    assert none.ab.abs().max() == 0
    assert draw_hints(chroma(1, 3, 5), 4, generators(0)).mask.sum() > 0


def test_one_generator_per_image_is_demanded() -> None:
    with pytest.raises(ValueError, match="zip"):
        draw_hints(chroma(2), 1, generators(0))


def test_dense_hints_are_the_chroma_itself() -> None:
    ab = chroma(2, 5, 6)
    hints = dense_hints(ab)
    assert torch.equal(hints.ab, ab)
    assert hints.mask.shape == (2, 1, 5, 6)
    assert bool((hints.mask == 1).all())


@pytest.mark.parametrize("text", ["12,34,#0A80fF", " 12 , 34 , 0a80ff "])
def test_parse_hint(text: str) -> None:
    assert parse_hint(text) == (12, 34, (10, 128, 255))


@pytest.mark.parametrize(
    "text", ["", "12,34", "12;34;#0A80FF", "-1,34,#0A80FF", "1.5,2,#0A80FF", "1,2,#0A80F", "1,2,#GG0000", "1,2,red"]
)
def test_what_is_no_hint_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(HintsError, match=r"Expected X,Y,#RRGGBB, for example"):
        parse_hint(text)


def test_points_have_the_colour_and_place_they_were_given() -> None:
    hints = hints_from_points([(100, 50, (200, 30, 60))], (256, 512))
    expected = rgb2lab(np.array([[[200, 30, 60]]], np.uint8))[0, 0, 1:]
    np.testing.assert_allclose(hints.ab[0, :, 50, 100], expected, atol=1e-3)
    top, left, height, width = box(hints.mask[0, 0])
    assert (height, width) == (6, 12)
    assert top <= 50 < top + height
    assert left <= 100 < left + width
    assert hints.ab[hints.mask.expand(1, 2, -1, -1) == 0].abs().max() == 0


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (256, 256), (3000, 1200), (97, 4001)])
@pytest.mark.parametrize("corner", [(0, 0), (1, 1)])
def test_points_survive_the_reduction_to_the_working_size(size: tuple[int, int], corner: tuple[int, int]) -> None:
    height, width = size
    x, y = corner[0] * (width - 1), corner[1] * (height - 1)
    hints = hints_from_points([(x, y, (0, 255, 0))], size)
    assert hints.mask[0, 0, y, x] == 1
    seen = hints.resized((256, 256))
    green = rgb2lab(np.array([[[0, 255, 0]]], np.uint8))[0, 0, 1:]
    np.testing.assert_allclose(seen.ab[0, :, corner[1] * 255, corner[0] * 255], green, atol=1e-2)
    if min(size) >= 256:
        assert 36 <= seen.mask.sum() <= 64


def test_later_points_overwrite_and_no_points_hint_nothing() -> None:
    red, blue = (255, 0, 0), (0, 0, 255)
    both = hints_from_points([(30, 30, red), (30, 30, blue)], (64, 64))
    assert torch.equal(both.ab, hints_from_points([(30, 30, blue)], (64, 64)).ab)
    assert isinstance(hints_from_points([], (4, 4)), Hints)
    assert hints_from_points([], (4, 4)).mask.sum() == 0


@pytest.mark.parametrize(("x", "y"), [(64, 0), (0, 32), (-1, 0), (0, -1)])
def test_points_outside_the_photo_are_refused(x: int, y: int) -> None:
    with pytest.raises(HintsError, match=r"outside the photograph of 64 x 32 pixels\. Expected X from 0 to 63"):
        hints_from_points([(x, y, (0, 0, 0))], (32, 64))
