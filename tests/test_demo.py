"""The live page: what it colours, what it says, and that nothing leaves the machine."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageColor
from safetensors.torch import save_file
from skimage import data

import bench
from bench.cli import main
from bench.colorizer import Hints
from bench.demo import server
from bench.demo.colouring import Photo, Studio
from bench.errors import BenchError, HintsError, ImageError, WeightsError
from bench.hints import hints_from_points

PHOTO = Image.fromarray(data.chelsea()[:200, :300])
RED = (255, 0, 0)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


def test_it_colours_as_the_library_does() -> None:
    studio = Studio(["siggraph17-mini", "gray"], "random", "cpu")
    network = bench.load_model("siggraph17-mini", "random", "cpu")
    points = [(30, 40, RED)]
    expected = bench.colorize(network, PHOTO, hints=hints_from_points(points, (200, 300)))
    coloured = studio.colour("siggraph17-mini", PHOTO, points)
    assert coloured.size == PHOTO.size
    np.testing.assert_array_equal(pixels(coloured), pixels(expected))
    assert np.abs(pixels(coloured) - pixels(studio.colour("siggraph17-mini", PHOTO))).max() > 0
    gray = pixels(studio.colour("gray", PHOTO, points))  # takes no hints, and gets none
    assert np.ptp(gray, axis=2).max() <= 1


def test_seed_and_steps_reach_models_that_draw_their_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr("bench.demo.colouring.colorize", lambda *_, **how: calls.append(how) or PHOTO)
    studio = Studio(["lab-diffusion-mini", "gray"], "random", "cpu")
    studio.colour("lab-diffusion-mini", PHOTO, seed=5, steps=10)
    assert calls[-1]["seed"] == 5
    loaded = studio.load("lab-diffusion-mini", 10)
    assert loaded.provenance is not None
    assert loaded.provenance.options == {"steps": 10}
    studio.colour("gray", PHOTO, seed=5, steps=10)
    assert studio.load.cache_info().currsize == 2


def test_networks_are_kept_and_old_ones_let_go() -> None:
    names = ["gray", "siggraph17-mini", "eccv16-mini", "pix2pix-mini"]
    studio = Studio(names, "random", "cpu")
    first = studio.load("gray", None)
    assert studio.load("gray", None) is first
    for name in names[1:]:
        studio.load(name, None)
    assert studio.load.cache_info().currsize == 3


def test_only_models_whose_weights_are_here_are_offered() -> None:
    studio = Studio()
    assert "ddcolor-mini" in studio.cards
    assert "bench weights fetch" in studio.absent["ddcolor"]
    assert not studio.untrained
    assert not set(studio.cards) & set(studio.absent)
    assert "oracle" not in studio.cards
    with pytest.raises(WeightsError, match="bench weights fetch ddcolor"):
        Studio(["ddcolor"])
    with pytest.raises(BenchError, match="Did you mean"):
        Studio(["ddcolour"])
    assert Studio(["siggraph17-mini"], "random").untrained


def test_a_photograph_of_any_kind_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "upload"
    PHOTO.save(path, format="TIFF", exif=exif)
    photo = Photo.read(path, "cat.tif")
    assert (photo.name, photo.image.size) == ("cat", (200, 300))
    Image.fromarray(np.full((3, 5000), 40000, np.uint16)).save(path, format="PNG")
    wide = Photo.read(path, "wide.png")
    assert wide.image.size == (5000, 3)
    assert wide.shown.size == (1280, 1)
    Image.new("CMYK", (32, 16)).save(path, format="JPEG")
    assert Photo.read(path, "tiny.jpg").shown.size == (640, 320)


def test_an_error_names_the_file_and_not_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"no photograph")
    with pytest.raises(ImageError, match=r"^letter\.pdf is not an image") as caught:
        Photo.read(path, "letter.pdf")
    assert str(tmp_path) not in str(caught.value)


def test_a_click_hits_the_pixel_that_is_shown_there() -> None:
    large = Image.new("RGB", (3840, 1920))
    photo = Photo("large", large, large.resize((1280, 640)))
    assert photo.pixel(0, 0) == (1, 1)
    assert photo.pixel(1279, 639) == (3838, 1918)
    assert photo.pixel(1280.0, 700) == (3839, 1919)
    assert photo.pixel(-3, 100) == (0, 301)
    assert Photo("same", PHOTO, PHOTO).pixel(120, 80) == (120, 80)


def test_hints_are_shown_where_they_are() -> None:
    photo = Photo("cat", PHOTO, PHOTO)
    marked = photo.marked([(120, 80, (12, 34, 56))])
    assert marked.getpixel((120, 80)) == (12, 34, 56)
    changed = (pixels(marked) != pixels(PHOTO)).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (abs(rows - 80) <= 8).all()
    assert (abs(columns - 120) <= 8).all()


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    done = CliRunner().invoke(main, ["demo"])
    assert done.exit_code == 1
    assert "pip install 'colorization-bench[demo]'" in done.output


def test_mistakes_get_a_sentence() -> None:
    pytest.importorskip("gradio")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = CliRunner().invoke(main, ["demo", "--models", "gray", "--port", port])
    assert done.exit_code == 1
    assert f"port {port}" in done.output
    assert "--port" in done.output
    done = CliRunner().invoke(main, ["demo", "--models", "grey", "--port", "0"])
    assert done.exit_code == 1
    assert "Did you mean gray" in done.output


@pytest.mark.parametrize("untrained", [True, False])
def test_untrained_weights_are_marked_on_the_page(untrained: bool, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    from bench.demo.page import build_page

    page = str(build_page(Studio(["gray"], "random" if untrained else None), tmp_path).get_config_file())
    assert ("these colours mean nothing" in page) == untrained


def test_colours_of_the_picker_in_each_of_its_modes() -> None:
    pytest.importorskip("gradio")
    from bench.demo.page import hex_colour

    for text in ("#2E7D32", "#2e7d32ff", "rgba(46.2, 125, 50, 1)", "rgb(46,125,50)"):
        assert hex_colour(text) == "#2e7d32"
    for text in ("hsl(123, 46%, 34%)", "hsl(0, 0%, 100%)", "hsl(360, 100%, 50%)", "hsl(210, 33%, 20%)"):
        assert hex_colour(text) == "#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(text))
    assert hex_colour("hsla(123.4, 46%, 34%, 0.5)") == hex_colour("hsl(123.4, 46%, 34%)")


@pytest.mark.parametrize("text", ["green", "", "hsl(1)", "rgb(1.2.3, 4, 5)", "rgb(-1, 4, 5)", "#12"])
def test_what_is_no_colour_gets_a_sentence_and_the_hints_stay(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gradio = pytest.importorskip("gradio")
    from bench.demo import page

    warnings: list[str] = []
    monkeypatch.setattr(gradio, "Warning", warnings.append)
    with pytest.raises(HintsError, match="Expected one like"):
        page.hex_colour(text)
    shown = page._Page(Studio(["siggraph17-mini"], "random", "cpu"), Path())
    click = gradio.SelectData(None, {"index": [3, 4], "value": None})
    assert shown._place(Photo("cat", PHOTO, PHOTO), ["siggraph17-mini"], text, ["1,2,#2e7d32"], click) == {}
    assert len(warnings) == 1
    assert "cannot be read" in warnings[0]


def test_old_files_are_swept(tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    from bench.demo.page import sweep

    for name, age in (("old", 4000), ("young", 10)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.png").write_bytes(b"x")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    sweep(tmp_path, 3600)
    assert [path.name for path in tmp_path.iterdir()] == ["young"]


def test_two_visitors_sweep_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio")
    from bench.demo.page import sweep

    taken, left = tmp_path / "taken by the other one", tmp_path / "left"
    left.mkdir()
    os.utime(left, (time.time() - 4000,) * 2)
    monkeypatch.setattr(Path, "iterdir", lambda _: iter([taken, left]))
    sweep(tmp_path, 3600)
    assert not left.exists()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a siggraph17-mini that answers to hints, which a freshly drawn one hardly does."""
    state = bench.load_model("siggraph17-mini", "random", "cpu").state_dict()
    path = tmp_path_factory.mktemp("weights") / "loud.safetensors"
    save_file({key: 6 * tensor if tensor.ndim == 4 else tensor for key, tensor in state.items()}, path)
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[str]:
    """The address of the page of two models, in a process of its own."""
    pytest.importorskip("gradio")
    temporary = tmp_path_factory.mktemp("temporary")
    command = [sys.executable, "-m", "bench", "demo", "--models", "siggraph17-mini,gray", "--weights", weights]
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "--device", "cpu", "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        yield found[0]
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert list(temporary.glob("bench-demo-*")) == []


@pytest.fixture
def page(served: str) -> Iterator[Any]:
    """The page in Chromium; afterwards nothing outside may have been asked for."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    asked: set[str | None] = set()
    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--no-proxy-server"]) as browser,
    ):
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.on("request", lambda request: asked.add(urlparse(request.url).hostname))
        page.goto(served)
        page.wait_for_selector("#start")
        yield page
    assert asked <= {"127.0.0.1", None}  # None: data: and blob: addresses


def drop(page: Any, name: str, content: bytes) -> None:
    page.set_input_files("#photo input[type=file]", {"name": name, "mimeType": "image/png", "buffer": content})


def drop_photo(page: Any, name: str = "my cat.png") -> None:
    buffer = io.BytesIO()
    PHOTO.save(buffer, "PNG")
    drop(page, name, buffer.getvalue())
    page.wait_for_function("document.querySelector('#photo img')?.src.includes('image.png')")
    page.wait_for_function("document.querySelector('#photo img').naturalWidth == 640")


def coloured(page: Any, tmp_path: Path) -> dict[str, Image.Image]:
    """Press the button, wait for two new pictures and download them; by file name."""
    addresses = "[...document.querySelectorAll('#results img')].map(image => image.src)"
    before = page.evaluate(addresses)
    page.click("#start")
    page.wait_for_function(f"b => (n => n.length == 2 && !n.some(a => b.includes(a)))({addresses})", arg=before)
    page.wait_for_selector("#start:enabled")
    found = {}
    for link in page.locator("#results a[download]").all():
        with page.expect_download() as download:
            link.click()
        name = download.value.suggested_filename
        download.value.save_as(tmp_path / name)
        found[name] = Image.open(tmp_path / name)
    return found


def by_hand(weights: Path, hints: Hints | None = None) -> np.ndarray:
    return pixels(bench.colorize(bench.load_model("siggraph17-mini", weights, "cpu"), PHOTO, hints=hints))


@pytest.mark.slow
def test_a_photograph_is_dropped_coloured_and_downloaded(page: Any, tmp_path: Path, weights: Path) -> None:
    drop_photo(page)
    found = coloured(page, tmp_path)
    assert list(found) == ["my_cat-siggraph17-mini.png", "my_cat-gray.png"]
    gray = pixels(bench.colorize(bench.load_model("gray", device="cpu"), PHOTO))
    for picture, expected in zip(found.values(), (by_hand(weights), gray), strict=True):
        assert picture.size == (300, 200)
        assert np.abs(pixels(picture) - expected).mean() < 0.05
    assert "untrained" not in page.content()


@pytest.mark.slow
def test_hints_that_are_clicked_reach_the_model_and_can_be_removed(page: Any, tmp_path: Path, weights: Path) -> None:
    drop_photo(page)
    box = page.locator("#photo img").bounding_box()
    page.locator("#photo img").click(position={"x": box["width"] * 0.25, "y": box["height"] * 0.5})
    chip = page.wait_for_selector("#hints .token")
    x, y, colour = chip.inner_text().strip().split(",")
    assert abs(int(x) - 75) <= 1
    assert abs(int(y) - 100) <= 1
    assert colour.strip() == "#2e7d32"

    hints = hints_from_points([(int(x), int(y), (0x2E, 0x7D, 0x32))], (200, 300))
    hinted, plain = by_hand(weights, hints), by_hand(weights)
    assert np.abs(hinted - plain).mean() > 1
    found = coloured(page, tmp_path)["my_cat-siggraph17-mini.png"]
    assert np.abs(pixels(found) - hinted).mean() < 0.05

    page.locator("#hints .token-remove").first.click()
    page.wait_for_selector("#hints .token", state="detached")
    found = coloured(page, tmp_path)["my_cat-siggraph17-mini.png"]
    assert np.abs(pixels(found) - plain).mean() < 0.05


@pytest.mark.slow
def test_a_bad_file_is_told_and_names_are_inert(page: Any) -> None:
    drop(page, "<img src=x onerror=alert(1)>.png", b"no photograph")
    toast = page.wait_for_selector(".toast-body")
    assert "is not an image that can be read here" in toast.inner_text()
    assert "Traceback" not in page.content()
    assert page.locator(".toast-body img").count() == 0
    page.click("#start")
    page.get_by_text("Drop a photograph first.").wait_for()


@pytest.mark.slow
def test_a_file_that_no_browser_shows_is_shown(page: Any) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(PHOTO.convert("L")).astype(np.uint16) * 257).save(buffer, "TIFF")
    drop(page, "scan.tif", buffer.getvalue())
    page.wait_for_function("document.querySelector('#photo img')?.naturalWidth == 640")
