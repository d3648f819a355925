"""Maps of colour queries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from skimage import data
from skimage.color import rgb2lab

from bench.cli import main
from bench.errors import BenchError
from bench.plots.queries import query_maps, strongest_queries

PHOTO = data.astronaut()[::8, ::8]
MAPS = np.stack([np.full((4, 4), value) for value in (1.0, -3.0, 2.0)])
WEIGHTS = np.array([[3.0, 0.0, 0.6], [4.0, 1.0, 0.8]])


def test_the_effect_of_a_query_is_the_mean_chroma_it_adds() -> None:
    order, effects = strongest_queries(MAPS, WEIGHTS, 2)
    assert effects.tolist() == pytest.approx([5.0, 3.0, 2.0])  # 1 * |(3, 4)|, 3 * |(0, 1)|, 2 * |(0.6, 0.8)|
    assert order == [0, 1]


def test_the_tiles_show_the_map_and_the_colour_of_each_query() -> None:
    figure = query_maps(PHOTO, PHOTO, MAPS, WEIGHTS, top=2)
    _, result, first_map, first_colour, second_map, second_colour = (axes.images[0] for axes in figure.axes)
    assert np.array_equal(np.asarray(result.get_array()), PHOTO)
    assert np.asarray(first_map.get_array()) == pytest.approx(1)
    assert np.asarray(second_map.get_array()) == pytest.approx(-3)
    assert first_map.get_clim() == second_map.get_clim() == (-3, 3)
    # The strongest colour, (3, 4), is shown with a chroma of 50; the other, (0, -3), by the same factor of 10.
    for image, ab in ((first_colour, (30, 40)), (second_colour, (0, -30))):
        assert rgb2lab(np.asarray(image.get_array()))[0, 0] == pytest.approx((65, *ab), abs=0.01)
    texts = [text.get_text() for text in figure.texts]
    assert {"query 0: 5.0", "query 1: 3.0"} <= set(texts)
    assert any("10 times as vivid" in text for text in texts)


def test_more_queries_than_there_are_show_all_and_none_is_refused() -> None:
    assert len(query_maps(PHOTO, PHOTO, MAPS, WEIGHTS, top=50).axes) == 2 + 2 * len(MAPS)
    with pytest.raises(BenchError, match="expected one"):
        query_maps(PHOTO, PHOTO, MAPS, WEIGHTS, top=0)


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path) -> None:
    from PIL import Image

    photo, out = tmp_path / "photo$1$.png", tmp_path / "queries.png"
    Image.fromarray(data.astronaut()[:90, :160]).save(photo)
    done = CliRunner().invoke(main, ["plot", "queries", str(photo), "--top", "3", "--device", "cpu", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert out.read_bytes().startswith(b"\x89PNG")

    done = CliRunner().invoke(main, ["plot", "queries", str(photo), "--model", "gray", "--out", str(out)])
    assert done.exit_code == 1
    assert "gray has no colour queries" in done.output
    assert "as that of ddcolor has" in done.output
