"""Grids of photographs and histograms of colours: from the pictures that Runs kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_rows import PHOTOS, pictures_of, put
from matplotlib.figure import Figure
from PIL import Image
from skimage.color import lab2rgb, rgb2lab

from bench.errors import BenchError, ImageError
from bench.plots.chroma import CELLS, HUES, LIMIT, chroma_histograms, colours_of
from bench.plots.grid import qualitative_grid
from bench.plots.photos import gray
from bench.runs import Store
from bench.selection import select


def shown(figure: Figure, columns: int) -> list[list[np.ndarray]]:
    """Rows of the pictures in a grid."""
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    return [pictures[i : i + columns] for i in range(0, len(pictures), columns)]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_a_grid_shows_the_kept_pictures_and_their_psnr(tmp_path: Path) -> None:
    put(tmp_path, "first", {"psnr": (20.126, 22, 24, 26)})
    put(tmp_path, "second", {"psnr": (10, 11, 12, 13)})
    figure = qualitative_grid(Store(tmp_path), select(tmp_path, ["second", "first"]), photos=["c", "a"])
    third, first = shown(figure, 4)
    for row, place in ((third, 2), (first, 0)):
        lightness, second_model, first_model, original = row
        assert np.array_equal(second_model, pictures_of("second")[place])
        assert np.array_equal(first_model, pictures_of("first")[place])
        assert np.array_equal(original, pictures_of("target")[place])
        assert np.array_equal(lightness, gray(original))
    assert {"c", "a", "12.00", "24.00", "10.00", "20.13", "input", "second", "first", "original"} <= set(texts(figure))


def test_the_input_is_gray_and_as_light_as_the_original() -> None:
    original = pictures_of("target")[0]
    lightness = gray(original)
    assert (np.ptp(lightness.astype(int), axis=-1) == 0).all()
    assert np.abs(rgb2lab(lightness)[..., 0] - rgb2lab(original)[..., 0]).max() < 0.3  # half of an 8-bit step


def test_gray_is_rounded_as_scikit_image_has_it() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    rgb[0] = np.arange(64)[:, None] * 4
    expected = lab2rgb(rgb2lab(rgb) * [1, 0, 0]) * 255
    assert np.abs(gray(rgb) - expected).max() < 0.53  # scikit-image's grays differ by 0.02 between channels
    assert np.array_equal(gray(rgb[:1]), rgb[:1])  # which is gray already


def test_without_colour_reference_there_is_no_original_and_cf_instead_of_psnr(tmp_path: Path) -> None:
    put(tmp_path, columns={"cf": (11, 12, 13, 14)}, reference=False)
    figure = qualitative_grid(Store(tmp_path), select(tmp_path), photos=["b"])
    assert len(figure.axes) == 2
    assert "original" not in texts(figure)
    assert "12.00" in texts(figure)


def test_photographs_on_which_models_differ_most_are_shown_by_default(tmp_path: Path) -> None:
    put(tmp_path, "first", {"psnr": (20, 22, 24, 26)})
    put(tmp_path, "second", {"psnr": (21, 32, 24, 20)})
    put(tmp_path, "third", {"psnr": (20, 22, 23, 25)})
    figure = qualitative_grid(Store(tmp_path), select(tmp_path), differ=3)
    assert [text for text in texts(figure) if text in PHOTOS] == ["b", "d", "a"]
    everything = qualitative_grid(Store(tmp_path), select(tmp_path))
    assert len([text for text in texts(everything) if text in PHOTOS]) == 4


def test_a_seed_draws_the_same_photographs_again_and_another_seed_others(tmp_path: Path) -> None:
    put(tmp_path)

    def drawn(seed: int) -> list[str]:
        figure = qualitative_grid(Store(tmp_path), select(tmp_path), random=2, seed=seed)
        return [text for text in texts(figure) if text in PHOTOS]

    assert drawn(3) == drawn(3)
    assert len(set(drawn(3))) == 2
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1


def test_only_photographs_that_all_models_kept_can_be_shown(tmp_path: Path) -> None:
    put(tmp_path, "first", kept=(0, 1, 2))
    put(tmp_path, "second", kept=(2, 3))
    store, runs = Store(tmp_path), select(tmp_path)
    assert [text for text in texts(qualitative_grid(store, runs)) if text in PHOTOS] == ["c"]
    with pytest.raises(BenchError, match=r"no pictures of 'a' .* There are pictures of: c\. .*--samples"):
        qualitative_grid(store, runs, photos=["a"])
    put(tmp_path, "third", kept=(0,))
    for plot in (qualitative_grid, chroma_histograms):
        with pytest.raises(BenchError, match="first, second, third kept no pictures of the same photograph.*--samples"):
            plot(store, select(tmp_path, ["first", "second", "third"]))


def test_runs_without_pictures_are_named_under_those_that_have(tmp_path: Path) -> None:
    put(tmp_path, "first")
    put(tmp_path, "blind", kept=())
    put(tmp_path, "first", kept=(), dataset__name="coco", dataset__split="val2017")
    store, runs = Store(tmp_path), select(tmp_path)
    expected = "Not shown: all on coco, blind on photos/all (no pictures in common)."
    grid, chroma = qualitative_grid(store, runs), chroma_histograms(store, runs)
    assert expected in [" ".join(text.split()) for text in texts(grid)]
    assert {"input", "first", "original"} <= set(texts(grid))
    assert "blind" not in texts(grid)
    assert " ".join(chroma.get_supxlabel().split()) == expected
    assert [axes.get_title() for axes in chroma.axes if axes.images and axes.get_title()] == ["originals", "first"]
    everything = qualitative_grid(store, select(tmp_path, ["first"], ["photos"]))
    assert not any("Not shown" in text for text in texts(everything))
    for plot in (qualitative_grid, chroma_histograms):
        with pytest.raises(BenchError, match="blind kept no pictures.*--samples"):
            plot(store, select(tmp_path, ["blind"]))


def test_what_does_not_compete_chooses_no_photographs(tmp_path: Path) -> None:
    put(tmp_path, "one", {"psnr": (20, 22, 24, 26)})
    put(tmp_path, "two", {"psnr": (20, 22, 29, 27)})
    put(tmp_path, "gray", {"psnr": (1, 21, 23, 25)}, model__family="reference")
    put(tmp_path, "untrained", {"psnr": (19, 2, 23, 25)}, model__source="random")
    figure = qualitative_grid(Store(tmp_path), select(tmp_path), differ=2)
    assert [text for text in texts(figure) if text in PHOTOS] == ["c", "d"]
    assert {"gray", "untrained (random weights)"} <= {" ".join(text.split()) for text in texts(figure)}
    assert "23.00" in texts(figure)


def test_the_store_says_where_a_picture_lies(tmp_path: Path) -> None:
    run = put(tmp_path, "first")
    store = Store(tmp_path)
    found = {store.picture(run, index, which) for index in range(4) for which in ("prediction", "target")}
    assert found == set((tmp_path / run.folder).rglob("*.png"))
    assert np.array_equal(np.asarray(Image.open(store.picture(run, 2, "prediction"))), pictures_of("first")[2])
    assert np.array_equal(np.asarray(Image.open(store.picture(run, 3, "target"))), pictures_of("target")[3])


def test_a_pattern_names_photographs(tmp_path: Path) -> None:
    put(tmp_path)
    figure = qualitative_grid(Store(tmp_path), select(tmp_path), photos=["[bd]"])
    assert [text for text in texts(figure) if text in PHOTOS] == ["b", "d"]


def test_photographs_cannot_be_chosen_in_two_ways(tmp_path: Path) -> None:
    put(tmp_path)
    with pytest.raises(BenchError, match="not by several"):
        qualitative_grid(Store(tmp_path), select(tmp_path), photos=["a"], random=1)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    run = put(tmp_path)
    (tmp_path / run.folder / "samples" / "000001.prediction.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="000001.prediction.png"):
        qualitative_grid(Store(tmp_path), select(tmp_path))


def test_colours_are_counted_as_numpy_counts_them() -> None:
    pictures = pictures_of("target")
    lab = np.concatenate([rgb2lab(picture).reshape(-1, 3) for picture in pictures])
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    found = colours_of(pictures)
    assert found.plane.sum() == pytest.approx(1)
    assert found.hues.sum() * 360 / HUES == pytest.approx(chroma.mean())
    cell = 2 * LIMIT / CELLS
    a, b = ((lab[:, i] + LIMIT) // cell for i in (1, 2))
    assert found.plane[30, 20] == pytest.approx(((a == 20) & (b == 30)).mean())
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    within = (hue >= 90) & (hue < 95)  # yellow
    assert found.hues[90 // 5] * 5 == pytest.approx(chroma[within].sum() / len(lab))


def test_all_planes_have_one_scale_and_show_their_own_pictures(tmp_path: Path) -> None:
    put(tmp_path, "first")
    put(tmp_path, "second")
    figure = chroma_histograms(Store(tmp_path), select(tmp_path, ["second", "first"]))
    planes = {axes.get_title(): axes.images[0] for axes in figure.axes if axes.images and axes.get_title()}
    assert list(planes) == ["originals", "second", "first"]
    for name, what in (("originals", "target"), ("second", "second"), ("first", "first")):
        expected = colours_of(pictures_of(what)).plane
        assert np.array_equal(np.ma.filled(planes[name].get_array(), 0), expected)
    assert len({(image.norm.vmin, image.norm.vmax) for image in planes.values()}) == 1


def test_without_colour_reference_there_are_no_originals(tmp_path: Path) -> None:
    put(tmp_path, columns={"cf": (1, 2, 3, 4)}, reference=False)
    figure = chroma_histograms(Store(tmp_path), select(tmp_path))
    assert [axes.get_title() for axes in figure.axes if axes.images and axes.get_title()] == ["first"]


def test_gray_pictures_have_no_hue(tmp_path: Path) -> None:
    run = put(tmp_path)
    for path in (tmp_path / run.folder / "samples").glob("*.prediction.png"):
        Image.fromarray(gray(np.asarray(Image.open(path)))).save(path)
    assert colours_of(map(gray, pictures_of("first"))).hues.max() < 1e-3
    figure = chroma_histograms(Store(tmp_path), select(tmp_path))
    assert [axes.get_title() for axes in figure.axes if axes.images and axes.get_title()] == ["originals", "first"]
