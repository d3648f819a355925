"""The page in a real browser: what it shows, by hand and by keyboard, and that it asks nobody for anything."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made_reports import HOSTILE, PER_IMAGE, page_of, put_run

from bench.metrics import NUMBERS
from bench.runs import Run, Store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


Visit = Callable[..., "Page"]


@pytest.fixture
def visit(browser: Browser, page: Path) -> Iterator[Visit]:
    """Opens a report, the one of ``store`` unless told otherwise; whatever goes wrong in the page fails the test."""
    contexts, wrong = [], []

    def open_page(path: Path = page, width: int = 1200, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, reduced_motion="reduce", **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("dialog", lambda dialog: wrong.append(dialog.message))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("request", lambda request: wrong.append(request.url) if _leaves(request.url, path) else None)
        tab.goto(path.as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def _leaves(url: str, path: Path) -> bool:
    return not url.startswith("data:") and url.partition("#")[0] != path.as_uri()


def first_card(tab: Page) -> Locator:
    card = tab.locator(".card").first
    card.scroll_into_view_if_needed()
    card.locator("img.right[src]").wait_for()
    return card


def control(tab: Page, section: str, name: str) -> Locator:
    return tab.locator(section).get_by_role("combobox", name=name, exact=True)


def column(tab: Page, name: str) -> list[str]:
    """The shown cells of a column of the photographs' table."""
    heads = [re.sub(r"\W+$", "", text) for text in tab.locator("#rows thead th").all_inner_texts()]
    return tab.locator(f"#rows tbody tr > :nth-child({heads.index(name) + 1})").all_inner_texts()


def run_of(store: Path, model: str) -> Run:
    return next(run for run in Store(store) if (run.model.name, run.dataset.name) == (model, "coco"))


def values(store: Path, model: str, name: str) -> dict[str, float]:
    rows = Store(store).rows(run_of(store, model))
    return dict(zip(rows["name"], rows[name], strict=True))


def test_hostile_names_are_shown_and_do_nothing(visit: Visit) -> None:
    tab = visit()
    first_card(tab)
    assert [tab.locator(".card h3").nth(i).text_content() for i in range(4)] == list(HOSTILE)
    for i in range(4):  # every card is built, enlarged and closed again
        tab.locator(".card").nth(i).scroll_into_view_if_needed()
        tab.locator(".card").nth(i).locator(".enlarge").click()
        assert tab.locator("#viewer-name").text_content() == HOSTILE[i]
        tab.keyboard.press("Escape")
    assert HOSTILE[0] in tab.locator("#rows tbody th").all_text_contents()
    assert tab.locator("#failures tbody th").text_content() == HOSTILE[0]
    assert tab.locator("#failures .reason").text_content() == "<b>damaged</b> & cut"
    assert "third<i>" in control(tab, "#gallery", "Right").inner_text()
    assert tab.evaluate("window.hacked") is None


def test_markup_from_elsewhere_cannot_enter(browser: Browser, page: Path) -> None:
    tab = browser.new_page()
    tab.goto(page.as_uri())
    with pytest.raises(Exception, match="TrustedHTML|Trusted Type"):
        tab.evaluate("document.body.innerHTML = '<img src=x onerror=\"window.hacked = 1\">'")
    assert tab.evaluate("window.hacked") is None
    tab.close()


def test_every_number_of_the_table_is_that_of_the_run(visit: Visit, store: Path) -> None:
    tab = visit()
    numbers = [name for name in NUMBERS if name in PER_IMAGE]
    assert tab.locator("#rows thead th").all_inner_texts()[2:] == ["PSNR ↑", "SSIM ↑", "CF", "ΔCF image ↓"]
    expected = [
        [row["name"], model, *(f"{row[name]:.{NUMBERS[name].decimals}f}" for name in numbers)]
        for model in ("first", "second", "third<i>")
        for row in Store(store).rows(run_of(store, model)).to_dict("records")
    ]
    assert len(expected) == 12 + 12 + 11
    rows = "[...document.querySelectorAll('#rows tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    assert sorted(tab.evaluate(rows)) == sorted(expected)


def test_photographs_sort_by_click_and_by_key(visit: Visit, store: Path) -> None:
    tab = visit()
    descending = sorted(v for m in ("first", "second", "third<i>") for v in values(store, m, "psnr").values())[::-1]
    head = tab.locator("#rows thead th", has_text="PSNR")
    for _ in range(10):  # cards above it, built meanwhile, may move it away between press and release
        head.get_by_role("button").click()
        if head.get_attribute("aria-sort") is not None:
            break
    assert head.get_attribute("aria-sort") == "descending"
    assert column(tab, "PSNR") == [f"{value:.2f}" for value in descending]
    head.get_by_role("button").focus()
    tab.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(tab, "PSNR") == [f"{value:.2f}" for value in descending[::-1]]
    tab.locator("#rows thead th", has_text="Photograph").get_by_role("button").press("Space")
    assert tab.locator("#rows [aria-sort]").count() == 1
    assert column(tab, "Photograph")[-1] == "photo7"


def test_photographs_filter_by_text_and_by_model(visit: Visit, store: Path) -> None:
    tab = visit()
    tab.locator("#photographs input[type=search]").fill("PHOTO 3")
    assert column(tab, "Photograph") == ["photo3"] * 3
    control(tab, "#photographs", "Model").select_option("second")
    assert column(tab, "SSIM") == [f"{values(store, 'second', 'ssim')['photo3']:.4f}"]
    tab.locator("#photographs input[type=search]").fill("no colour")
    assert column(tab, "Photograph") == ["photo7"]  # its original is gray, which is noted
    tab.locator("#photographs input[type=search]").fill("nothing like it")
    assert tab.locator("#rows tbody tr").count() == 0
    assert tab.locator("#rows-status").inner_text() == "No row matches."


def test_the_divider_moves_by_keyboard(visit: Visit) -> None:
    card = first_card(visit())
    divider = card.get_by_role("slider")
    assert "input and first" in (divider.get_attribute("aria-label") or "")
    divider.focus()
    for _ in range(10):
        divider.press("ArrowRight")
    assert divider.input_value() == "60"
    assert "inset(0px 40% 0px 0px)" in card.locator("img.left").evaluate("e => getComputedStyle(e).clipPath")
    divider.press("Home")
    assert divider.input_value() == "0"


@pytest.mark.parametrize("touch", [False, True])
def test_the_divider_follows_the_pointer(visit: Visit, touch: bool) -> None:
    tab = visit(has_touch=touch)
    card = first_card(tab)
    box = card.locator(".comparison").bounding_box()
    assert box is not None
    at = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
    if touch:
        tab.touchscreen.tap(*at)
    else:
        tab.mouse.move(box["x"] + box["width"] / 2, at[1])
        tab.mouse.down()
        tab.mouse.move(*at, steps=4)
        tab.mouse.up()
        tab.mouse.move(box["x"] + 5, at[1])
    assert abs(int(card.get_by_role("slider").input_value()) - 25) <= 1


def test_digits_switch_the_model_and_its_numbers(visit: Visit, store: Path) -> None:
    card = visit().locator(".card").nth(5)
    card.scroll_into_view_if_needed()
    before = card.locator("img.right").get_attribute("src")
    card.get_by_role("slider").press("2")
    assert card.locator("img.right").get_attribute("alt") == "photo1, second"
    assert card.locator("img.right").get_attribute("src") != before
    assert card.locator("select").nth(1).input_value() == "1"
    told = dict(zip(card.locator("dt").all_inner_texts(), card.locator("dd").all_inner_texts(), strict=True))
    assert told == {
        NUMBERS[name].label: f"{values(store, 'second', name)['photo1']:.{NUMBERS[name].decimals}f}"
        for name in PER_IMAGE
    }
    card.get_by_role("slider").press("0")
    assert card.locator("img.right").get_attribute("alt") == "photo1, original"
    assert card.locator("dt").all_inner_texts() == ["CF"]
    card.get_by_role("slider").press("3")  # its picture was not kept
    assert card.locator("img.right").get_attribute("alt") == "photo1, original"
    assert card.locator("select").nth(1).locator("option", has_text="third").is_disabled()


def test_a_picture_that_was_not_kept_is_said_to_be_missing(visit: Visit) -> None:
    tab = visit()
    control(tab, "#gallery", "Right").select_option("3 third<i>")
    for at, missing in ((0, True), (1, False), (4, True)):
        card = tab.locator(".card").nth(at)
        card.scroll_into_view_if_needed()
        card.locator("img.left[src]").wait_for()
        assert card.locator(".incomplete").count() == missing
        assert card.locator("img.right[src]").count() == (not missing)


def test_the_gallery_filters_and_sorts(visit: Visit, store: Path) -> None:
    tab = visit()
    gallery = tab.locator("#gallery")
    names = gallery.locator(".card h3")
    gallery.locator("input[type=search]").fill("photo")
    assert names.count() == 8
    assert gallery.locator("#gallery-status").inner_text() == "8 of 12 photographs"
    first, second = values(store, "first", "psnr"), values(store, "second", "psnr")
    photos = [name for name in first if name.startswith("photo")]
    control(tab, "#gallery", "Sort by").select_option("PSNR")
    assert names.all_text_contents() == sorted(photos, key=lambda name: -first[name])
    control(tab, "#gallery", "Order").select_option("lowest first")
    assert names.all_text_contents() == sorted(photos, key=lambda name: first[name])
    control(tab, "#gallery", "Of").select_option("right minus left")
    assert "choose models on both sides" in gallery.locator("#gallery-status").inner_text()
    control(tab, "#gallery", "Left").select_option("2 second")
    assert names.all_text_contents() == sorted(photos, key=lambda name: first[name] - second[name])
    control(tab, "#gallery", "Of").select_option("spread of models")
    third = values(store, "third<i>", "psnr")
    spread = {n: max(first[n], second[n], third[n]) - min(first[n], second[n], third[n]) for n in photos}
    assert names.all_text_contents() == sorted(photos, key=lambda name: spread[name])


def test_the_spread_is_that_of_models_that_compete(visit: Visit, tmp_path: Path) -> None:
    names, folder = [f"photo{i}" for i in range(6)], tmp_path / "runs"
    put_run(folder, "one", names)
    put_run(folder, "other", names)
    for model, changes in {"the floor": {"model__family": "reference"}, "raw": {"model__source": "random"}}.items():
        run = put_run(folder, model, names, **changes)
        far = Store(folder).rows(run).assign(psnr=[1000.0 + 100 * i for i in range(6)])
        Store(folder).write(run, far)
    tab = visit(page_of(folder, tmp_path))
    control(tab, "#gallery", "Sort by").select_option("PSNR")
    control(tab, "#gallery", "Of").select_option("spread of models")
    one, other = values(folder, "one", "psnr"), values(folder, "other", "psnr")
    expected = sorted(names, key=lambda name: -abs(one[name] - other[name]))
    assert expected != sorted(names, reverse=True)  # as the floor would have it
    assert tab.locator("#gallery .card h3").all_text_contents() == expected


def test_enlarged_by_key_paged_and_closed_again(visit: Visit, store: Path) -> None:
    tab = visit()
    tab.locator("#gallery input[type=search]").fill("photo")
    card = first_card(tab)
    card.get_by_role("slider").press("Enter")
    dialog = tab.get_by_role("dialog")
    assert dialog.locator("h3").inner_text() == "photo0"
    row = dialog.locator("tbody tr", has_text="second")
    assert row.locator("td").first.inner_text() == f"{values(store, 'second', 'psnr')['photo0']:.2f}"
    tab.keyboard.press("2")
    assert dialog.locator("img.right").get_attribute("alt") == "photo0, second"
    tab.keyboard.press("PageDown")
    assert dialog.locator("h3").inner_text() == "photo1"
    assert dialog.get_by_role("button", name="Previous").is_enabled()
    tab.keyboard.press("Escape")
    assert dialog.count() == 0
    assert card.get_by_role("slider").evaluate("e => e === document.activeElement")


def test_old_photographs_have_no_original(visit: Visit) -> None:
    tab = visit()
    control(tab, "#gallery", "Dataset").focus()
    control(tab, "#gallery", "Dataset").select_option(index=1)
    assert control(tab, "#gallery", "Dataset").evaluate("e => e === document.activeElement")
    assert "no colour reference" in tab.locator("#gallery-status").inner_text()
    card = first_card(tab)
    assert card.locator("select").first.locator("option").all_inner_texts() == ["input", "1 first"]
    assert card.locator("img.left").get_attribute("alt") == "old 1, input"
    assert card.locator("dt").all_inner_texts() == ["CF"]
    control(tab, "#photographs", "Dataset").select_option(index=1)
    assert tab.locator("#rows thead th").all_inner_texts() == ["Photograph", "Model", "CF"]


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_sticks_out_sideways(visit: Visit, width: int) -> None:
    tab = visit(width=width)
    for card in tab.locator(".card").all()[:3]:
        card.scroll_into_view_if_needed()
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    first_card(tab).locator(".enlarge").click()
    assert tab.locator("#viewer").evaluate("e => e.scrollWidth <= e.clientWidth")


def test_light_and_dark_and_by_hand(visit: Visit) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    assert visit(color_scheme="light").evaluate(paper) == "rgb(255, 255, 255)"
    tab = visit(color_scheme="dark")
    assert tab.evaluate(paper) == "rgb(22, 22, 22)"
    tab.get_by_label("Theme").select_option("Light")
    assert tab.evaluate(paper) == "rgb(255, 255, 255)"
    for _ in range(20):  # it is remembered, by a process of the browser that may be later than the first reload
        tab.reload()
        if tab.evaluate(paper) == "rgb(255, 255, 255)":
            return
        tab.wait_for_timeout(100)
    pytest.fail("the chosen theme was forgotten")


def test_a_command_is_copied_as_it_is(visit: Visit) -> None:
    tab = visit(permissions=["clipboard-read", "clipboard-write"])
    command = "bench run --model 'a b'  --dataset <coco>"
    tab.locator(".command", has_text="a b").get_by_role("button").click()
    tab.get_by_role("button", name="Copied").wait_for()
    assert tab.evaluate("navigator.clipboard.readText()") == command


@pytest.mark.slow
def test_of_many_photographs_few_pictures_are_held(visit: Visit, tmp_path: Path) -> None:
    put_run(tmp_path / "runs", "net", [f"photo{i:03d}" for i in range(200)])
    tab = visit(page_of(tmp_path / "runs", tmp_path))
    held = "document.querySelectorAll('#gallery img[src]').length"
    assert tab.evaluate("document.querySelectorAll('.card').length") == 200
    assert tab.evaluate(held) <= 60
    last = tab.locator(".card").last
    last.scroll_into_view_if_needed()
    last.locator("img.right[src]").wait_for()
    tab.wait_for_function(f"{held} <= 60")
    assert tab.locator(".card").first.locator("img[src]").count() == 0
    assert tab.locator("#rows-status").inner_text() == "1–50 of 200 rows"
    tab.get_by_role("button", name="Next").click()
    assert column(tab, "Photograph")[0] == "photo050"
