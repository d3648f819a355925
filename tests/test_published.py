"""Published numbers: they are those of the sources, and Runs stand for them only where they should."""

from __future__ import annotations

import csv
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from made_runs import BEGUN, made

from bench.errors import ConfigError, UnknownNameError
from bench.metrics import NUMBERS
from bench.published import Pair, best_match, load_paper, pairs, papers
from bench.registry import card_of
from bench.runs import Run
from bench.tables.measures import MEASURES

ROOT = Path(__file__).resolve().parents[1]
CHECKED = ROOT.parent / "shared" / "reference" / "published_tables.csv"
CAVEAT = "another FID than that of the papers' scripts"
SHORT = {"MultiColor Table 2": "Table 2"}


def checked() -> list[dict[str, str]]:
    with CHECKED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def match(
    run_changes: dict[str, Any], method: str = "DDColor-large", table: str = "1", metric: str = "CF"
) -> Pair | None:
    paper = load_paper("ddcolor")
    numbers = paper.numbers_of(paper.table(table))
    number = next(n for n in numbers if (n.method, n.dataset, n.metric) == (method, "ImageNet val5k", metric))
    run = made(**{"metrics": {"cf": (38.1, 37.9, 38.3), "fid": 3.95}, **run_changes})
    return best_match([run], paper, paper.table(table), number)


def test_both_papers_are_there_and_another_is_refused() -> None:
    assert papers() == ["ddcolor", "multicolor"]
    with pytest.raises(UnknownNameError, match="Did you mean ddcolor"):
        load_paper("ddcolour")


def shipped() -> list[tuple[str, ...]]:
    numbers = [number for name in papers() for number in load_paper(name).numbers]
    return [(n.table, n.method, n.dataset, n.metric, n.written, n.source) for n in numbers]


def test_no_number_has_changed_since_they_were_checked() -> None:
    digest = hashlib.sha256(repr(sorted(shipped())).encode()).hexdigest()
    assert digest == "033ef361baf86b747473d3bc879848330709b5c27b4e7a31e8d147c105d90e12"


@pytest.mark.skipif(not CHECKED.is_file(), reason="the checked list of published numbers is not here")
def test_the_numbers_are_the_checked_ones_and_no_others() -> None:
    ours = shipped()
    theirs = [
        (SHORT.get(r["table"], r["table"]), r["method"], r["dataset"], r["metric"], r["value"], r["source"])
        for r in checked()
    ]
    assert sorted(ours) == sorted(theirs)
    assert len(ours) == 133


@pytest.mark.parametrize("name", ["ddcolor", "multicolor"])
def test_values_are_what_is_written_and_every_number_has_a_source_and_a_table(name: str) -> None:
    paper = load_paper(name)
    laid_out = [number for table in paper.tables.values() for number in paper.numbers_of(table)]
    assert sorted(n.model_dump_json() for n in laid_out) == sorted(n.model_dump_json() for n in paper.numbers)
    for number in paper.numbers:
        assert number.value == float(number.written.removesuffix("x"))
        assert number.source.startswith(("arXiv:", "GitHub issue "))
        assert number.metric in paper.names


@pytest.mark.parametrize("name", ["ddcolor", "multicolor"])
def test_the_mapping_names_only_what_is_there(name: str) -> None:
    paper = load_paper(name)
    for ours in paper.names.values():
        assert ours.name in MEASURES or (ours.name is None and ours.label)
        assert (ours.exact in MEASURES and ours.caveat) or (ours.exact is None and not ours.caveat)
    for table in paper.tables.values():
        methods = {number.method for number in paper.numbers_of(table)}
        assert set(table.methods) <= methods
        for method in table.methods.values():
            if method.model is not None:
                card = card_of(method.model)
                plain = [w for w in method.weights if "*" not in w]
                assert set(plain) <= {weights.name for weights in card.weights}
    assert {number.dataset for number in paper.numbers} >= set(paper.datasets)


def test_the_options_of_the_ablations_are_those_of_the_network() -> None:
    import inspect

    from models.ddcolor import DDColor

    paper = load_paper("ddcolor")
    own = {name: p.default for name, p in inspect.signature(DDColor).parameters.items()}
    for key, value in paper.defaults.items():
        assert (list(own[key]) if isinstance(own[key], tuple) else own[key]) == value
    for table in paper.tables.values():
        for method in table.methods.values():
            assert set(method.options) <= set(paper.defaults)


def test_a_run_by_the_book_stands_for_its_number_without_caveats() -> None:
    pair = match({})
    assert pair is not None
    assert (pair.published.value, pair.estimate.value, pair.caveats) == (38.26, 38.1, ())
    assert pair.within is True
    outside = match({"metrics": {"cf": (38.1, 38.0, 38.2)}})
    assert outside is not None
    assert outside.within is False
    no_interval = match({}, metric="FID")
    assert no_interval is not None
    assert no_interval.within is None


def test_another_fid_than_the_papers_does_not_compare_and_their_own_goes_before() -> None:
    for metrics in ({"fid": 3.95}, {"fid": 3.95, "fid_ct2": "no torchvision"}):
        other = match({"metrics": metrics}, metric="FID")
        assert other is not None
        assert (other.estimate.value, other.caveats, other.marks) == (3.95, (CAVEAT,), ())
    theirs = match({"metrics": {"fid": 3.95, "fid_ct2": 3.78}}, metric="FID")
    assert theirs is not None
    assert (theirs.estimate.value, theirs.caveats, theirs.marks) == (3.78, (), ("FID (CT2)",))


@pytest.mark.parametrize(
    ("changes", "caveats"),
    [
        ({"protocol__name": "crop256", "protocol__hash": "0"}, ("protocol crop256",)),
        ({"protocol__hash": "0"}, ("another version of protocol paper",)),
        ({"dataset__n": 38, "dataset__complete": False}, ("subset 38/5000",)),
        ({"complete": False}, ("incomplete",)),
        ({"model__weights": "modelscope"}, ("weights modelscope",)),
        ({"model__source": "trained here", "model__weights": "paper"}, ("trained here",)),
        ({"model__source": "shipped", "model__weights": "mini"}, ("trained here",)),
        ({"model__source": "file", "model__weights": "net.pth"}, ("weights net.pth",)),
        ({"model__source": "random", "model__weights": "random"}, ("random weights",)),
        ({"hints": 5}, ("5 hints",)),
        ({"environment__precision": "bf16"}, ("bf16",)),
        ({"model__options": {"queries": "100", "scales": "(16, 8, 4)"}}, ()),  # said, but no other network
    ],
)
def test_what_does_not_compare_is_found_and_says_why(changes: dict[str, Any], caveats: tuple[str, ...]) -> None:
    pair = match(changes)
    assert pair is not None
    assert pair.caveats == caveats


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "eccv16"},
        {"dataset__split": "val50k"},
        {"dataset__name": "coco", "dataset__split": "val2017"},
        {"model__options": {"queries": "20"}},
        {"metrics": {"psnr": 23}},
    ],
)
def test_what_is_something_else_does_not_stand_for_a_number(changes: dict[str, Any]) -> None:
    assert match(changes) is None


@pytest.mark.parametrize(
    ("table", "method", "run"),
    [
        ("scales", "single scale 1/8", {"model__options": {"scales": "[8]"}}),
        ("scales", "single scale 1/8", {"model__options": {"scales": "(8,)"}}),
        ("scales", "three scales", {}),
        ("queries", "500 queries", {"model__options": {"queries": "500"}}),
        ("block-order", "self-attn then cross-attn", {"model__options": {"block_order": "['self', 'cross']"}}),
        ("block-order", "cross-attn then self-attn (used)", {}),
        ("decoder-and-loss", "both", {}),
        (
            "decoder-and-loss",
            "color decoder only",
            {"model__weights": "decoder-and-loss.colour-decoder-only.seed0.safetensors"},
        ),
        (
            "decoder-and-loss",
            "no color decoder, no colorfulness loss",
            {"model__weights": "decoder-and-loss.neither.seed1.st", "model__options": {"color_decoder": "False"}},
        ),
    ],
)  # fmt: skip
def test_variants_of_the_ablations_are_known_by_options_and_weights(
    table: str, method: str, run: dict[str, Any]
) -> None:
    others = [number.method for number in load_paper("ddcolor").numbers_of(load_paper("ddcolor").table(table))]
    found = [name for name in dict.fromkeys(others) if match(run, name, table, "FID")]
    assert found == [method]


@pytest.mark.parametrize("table", ["decoder-and-loss", "scales", "queries", "block-order"])
def test_every_variant_that_bench_ablate_trains_stands_for_one_row(table: str) -> None:
    from bench.ablations.config import load_ablation

    ablation, paper = load_ablation(table), load_paper("ddcolor")
    rows = []
    for variant, changes in ablation.variants.items():
        options = {k.removeprefix("options."): str(v) for k, v in changes.items() if k.startswith("options.")}
        trained = {"model__source": "file", "model__weights": ablation.weights_name(variant, 0)}
        methods = dict.fromkeys(number.method for number in paper.numbers_of(paper.table(table)))
        found = {m: pair for m in methods if (pair := match({"model__options": options, **trained}, m, table, "FID"))}
        assert all(pair.caveats == ("trained here", CAVEAT) for pair in found.values())
        rows += found
    assert len(rows) == len(ablation.variants)
    assert set(rows) == {number.method for number in paper.numbers_of(paper.table(table))}


def test_images_coloured_elsewhere_stand_for_the_method_they_are_named_after() -> None:
    coloured = {"model__source": "predictions", "model__weights": "predictions"}
    pair = match({"model": "ct2", **coloured}, method="CT2")
    assert pair is not None
    assert (pair.caveats, pair.marks, pair.within) == ((), ("predictions",), False)
    lossy = match({"model": "ct2", **coloured, "model__weights": "predictions (JPEG: lossy)"}, method="CT2")
    assert lossy is not None
    assert (lossy.caveats, lossy.marks) == (("predictions (JPEG: lossy)",), ())
    assert match({"model": "ct2", **coloured}, method="ColTran") is None
    assert match({"model": "ct2"}, method="CT2") is None


def test_the_most_comparable_run_counts_then_the_newest() -> None:
    paper = load_paper("ddcolor")
    number = next(
        n for n in paper.numbers if (n.method, n.dataset, n.metric) == ("DDColor-large", "ImageNet val5k", "CF")
    )
    runs = [
        made(metrics={"cf": 1.0}, environment__end=BEGUN),
        made(metrics={"cf": 2.0}, environment__end=BEGUN + timedelta(days=1)),
        made(metrics={"cf": 3.0}, environment__end=BEGUN + timedelta(days=2), hints=3),
        made(metrics={"cf": "no reason"}, environment__end=BEGUN + timedelta(days=3)),
    ]
    for order in (runs, runs[::-1]):
        pair = best_match(order, paper, paper.table("1"), number)
        assert pair is not None
        assert pair.estimate.value == 2.0
    unmeasured = best_match(runs[3:], paper, paper.table("1"), number)
    assert unmeasured is not None
    assert unmeasured.estimate.reason == "no reason"


GRAVEST_FIRST: list[dict[str, Any]] = [
    {"model__source": "random", "model__weights": "random"},
    {"hints": 5},
    {"model__weights": "modelscope"},
    {"protocol__name": "crop256", "protocol__hash": "0"},
    {"complete": False},
    {"dataset__n": 38, "dataset__complete": False},
    {"dataset__n": 4000, "dataset__complete": False},
    {"environment__precision": "bf16"},
    {},
]


def best(*runs: Run) -> Pair:
    paper = load_paper("ddcolor")
    number = next(
        n for n in paper.numbers if (n.method, n.dataset, n.metric) == ("DDColor-large", "ImageNet val5k", "CF")
    )
    pair = best_match(runs, paper, paper.table("1"), number)
    assert pair is not None
    return pair


@pytest.mark.parametrize("grave", range(len(GRAVEST_FIRST) - 1))
def test_one_grave_fault_outweighs_all_the_lighter_ones_even_of_an_older_run(grave: int) -> None:
    lighter: dict[str, Any] = {}
    for fault in GRAVEST_FIRST[:grave:-1]:
        lighter |= fault
    later = BEGUN + timedelta(days=9)
    bad = made(metrics={"cf": 1.0}, environment__end=later, **GRAVEST_FIRST[grave])
    good = made(metrics={"cf": 2.0}, environment__end=BEGUN, **lighter)
    for runs in ((bad, good), (good, bad)):
        assert best(*runs).estimate.value == 2.0


def test_random_weights_never_displace_a_run_of_the_right_ones() -> None:
    random = made(metrics={"cf": 1.0}, model__source="random", model__weights="random")
    unmeasured = made(metrics={"cf": "no reason"}, dataset__n=38, dataset__complete=False)
    assert best(random, unmeasured).estimate.reason == "no reason"
    assert best(random).caveats == ("random weights",)


def test_the_originals_own_numbers_stand_for_the_ground_truth_whatever_was_coloured() -> None:
    paper = load_paper("ddcolor")
    number = next(n for n in paper.numbers if (n.method, n.dataset) == ("Ground truth", "ImageNet val5k"))
    own = {"originals": {"cf": {"value": 38.3, "low": 37.9, "high": 38.7, "n": 5000}}}
    random = {"model__source": "random", "model__weights": "random", "environment__precision": "bf16", "hints": 2}
    runs = [
        made("eccv16", {"cf": 20.0}, **own, **random),
        made("ddcolor", {"cf": 30.0}),  # before originals were kept
        made("ddcolor", {"cf": 30.0}, originals={"cf": {"value": 1.0}}, dataset__n=38, dataset__complete=False),
        made("ddcolor", {"cf": 30.0}, originals={"cf": {"value": 2.0}}, dataset__name="coco", dataset__split="val2017"),
    ]
    pair = best_match(runs, paper, paper.table("1"), number)
    assert pair is not None
    assert (pair.published.value, pair.estimate.value, pair.caveats, pair.within) == (38.21, 38.3, (), True)
    part = best_match(runs[1:], paper, paper.table("1"), number)
    assert part is not None
    assert (part.estimate.value, part.caveats) == (1.0, ("subset 38/5000",))
    assert all(p.published.method != "Ground truth" for p in pairs(runs, "ddcolor"))  # of no model


def test_pairs_hold_every_measured_number_once() -> None:
    runs = [
        made(metrics={"fid": 3.95, "cf": 38.0, "dcf": 0.1, "psnr": 23.8}),
        made("eccv16", {"fid": 9.0}, model__weights="release"),
    ]
    found = {
        (p.published.method, p.published.metric): (p.published.value, p.estimate.value) for p in pairs(runs, "ddcolor")
    }
    assert found == {
        ("DDColor-large", "FID"): (3.92, 3.95),
        ("DDColor-large", "CF"): (38.26, 38.0),
        ("DDColor-large", "dCF"): (0.05, 0.1),
        ("DDColor-large", "PSNR"): (23.85, 23.8),
        ("CIC", "FID"): (8.72, 9.0),
    }  # fmt: skip
    assert len(pairs(runs, "ddcolor")) == len(found)
    assert all(pair.published.metric in {"FID", "CF", "dCF", "PSNR"} for pair in pairs(runs, "ddcolor"))
    assert pairs([], "ddcolor") == []


def test_the_known_reports_are_set_against_the_number_they_aimed_at() -> None:
    told = [
        (reported.metric, reported.value, aim.value if aim else None, reported.source)
        for reported, aim in load_paper("ddcolor").reported()
    ]
    assert told == [
        ("FID", 3.78, 3.92, "GitHub issue piddnad/DDColor#9"),
        ("CF", 34.33, 38.26, "GitHub issue piddnad/DDColor#9"),
        ("FID", 17.96, None, "GitHub issue piddnad/DDColor#34"),
    ]
    assert load_paper("multicolor").reported() == []


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("ddcolor.csv", ",8.72,", ",good,", r"ddcolor\.csv, line 12: expected"),
        ("ddcolor.yaml", "any_weights:", "any_wieghts:", r"tables\.1\.any_wieghts"),
    ],
)
def test_damaged_files_are_named(
    name: str, old: str, new: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (ROOT / "results" / "published").glob("ddcolor.*"):
        text = path.read_text(encoding="utf-8")
        assert path.name != name or old in text
        (tmp_path / path.name).write_text(text.replace(old, new) if path.name == name else text, encoding="utf-8")
    monkeypatch.setattr("bench.published._FOLDER", tmp_path)
    with pytest.raises(ConfigError, match=told):
        load_paper("ddcolor")


def test_numbers_have_names_of_the_catalogue() -> None:
    assert {load_paper("ddcolor").names[label].name for label in ("FID", "CF", "dCF", "PSNR")} <= set(NUMBERS)
