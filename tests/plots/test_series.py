"""Which Runs share axes, and how models are called."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from made_runs import BEGUN, made
from matplotlib.colors import to_hex

from bench.plots.series import looks, panels, without
from bench.plots.style import wrapped
from bench.runs import Run
from bench.tables.results import results_sheets


def labels(*runs: Run) -> list[str]:
    look = looks(runs)
    return [look(run).label for run in runs]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model__sha256": "b" * 64, "model__weights": "mine"}, ("ddcolor (paper)", "ddcolor (mine)")),
        ({"model__sha256": "b" * 64}, (f"ddcolor ({'a' * 8})", f"ddcolor ({'b' * 8})")),
        ({"model__sha256": None, "model__weights": "random", "model__source": "random"}, None),
        ({"model__options": {"queries": "20"}}, ("ddcolor (no options)", "ddcolor (queries=20)")),
        ({"environment__precision": "bf16"}, ("ddcolor (fp32)", "ddcolor (bf16)")),
        ({"hints": 1}, ("ddcolor (0 hints)", "ddcolor (1 hint)")),
        (
            {"model__sha256": "b" * 64, "environment__precision": "bf16"},
            ("ddcolor (aaaaaaaa)", "ddcolor (bbbbbbbb, bf16)"),
        ),
    ],
)
def test_models_of_one_name_are_told_apart_by_what_differs(
    changes: dict[str, Any], told: tuple[str, str] | None
) -> None:
    first: dict[str, Any] = {"model__sha256": "a" * 64}
    expected = told or ("ddcolor (paper)", "ddcolor (random weights)")
    assert tuple(labels(made(**first), made(**{**first, **changes}))) == expected


def test_a_model_alone_has_its_name_and_what_a_reader_must_know() -> None:
    assert labels(made("eccv16")) == ["eccv16"]
    assert labels(made("eccv16", model__source="random", model__weights="random")) == ["eccv16 (random weights)"]
    assert labels(made("eccv16", hints=10, environment__precision="fp16")) == ["eccv16 (fp16, 10 hints)"]


@pytest.mark.parametrize(
    ("changes", "titles"),
    [
        (
            {"dataset__split": "val50k", "dataset__digest": "e"},
            ("imagenet, n = 5,000", "imagenet/val50k, n = 5,000"),
        ),
        (
            {"dataset__digest": "e" * 64},
            ("imagenet, n = 5,000 (dddddddd)", "imagenet, n = 5,000 (eeeeeeee)"),
        ),
        (
            {"dataset__digest": "e", "dataset__n": 6, "dataset__complete": False},
            ("imagenet, n = 5,000", "imagenet, n = 6 of 5,000"),
        ),
        (
            {"protocol__name": "crop256", "protocol__hash": "x"},
            ("imagenet, n = 5,000 (paper)", "imagenet, n = 5,000 (crop256)"),
        ),
    ],
)  # fmt: skip
def test_other_photographs_and_protocols_have_a_panel_of_their_own(
    changes: dict[str, Any], titles: tuple[str, str]
) -> None:
    found = panels([made(), made("eccv16"), made(**changes)])
    assert [panel.title for panel in found] == list(titles)
    assert [[run.model.name for run in panel.runs] for panel in found] == [["ddcolor", "eccv16"], ["ddcolor"]]


def test_two_protocols_of_one_name_are_told_apart_by_their_hashes() -> None:
    found = panels([made(protocol__hash="0123456789"), made(protocol__hash="abcdef0123")])
    assert [panel.title[-10:] for panel in found] == ["(01234567)", "(abcdef01)"]


def test_photographs_that_failed_under_a_model_show_in_the_count() -> None:
    (panel,) = panels([made(), made("eccv16", dataset__n=4990, complete=False)])
    assert panel.title == "imagenet, n = 4,990–5,000"


def test_of_repetitions_the_newest_is_shown() -> None:
    runs = [made(environment__end=BEGUN + timedelta(days=day), seed=day) for day in (3, 9, 5)]
    assert [run.seed for panel in panels(runs) for run in panel.runs] == [9]


def test_a_model_keeps_its_colour_on_every_dataset_and_no_two_share_one() -> None:
    runs = [made(f"model{i:02d}", dataset__name=name) for name in ("coco", "ade20k") for i in range(25)]
    look = looks(runs)
    assert [look(run) for run in runs[:25]] == [look(run) for run in runs[25:]]
    assert len({to_hex(look(run).colour) for run in runs}) == 25


def test_what_is_not_shown_is_named_by_model_or_by_dataset() -> None:
    splits = {"coco": "val2017", "ade20k": "validation"}
    runs = [
        made(model, dataset__name=name, dataset__split=split)
        for name, split in splits.items()
        for model in ("ddcolor", "eccv16")
    ]
    look = looks(runs)
    assert without(runs, runs, look, "fid") == ""
    assert without(runs, runs[:1], look, "fid") == "Not shown: eccv16 on coco, all on ade20k (no fid)."


def test_a_split_that_is_not_shown_is_not_taken_for_another() -> None:
    shown, other = made(), made(dataset__split="val50k", dataset__digest="e" * 64)
    look = looks([shown, other])
    assert without([shown, other], [shown], look, "fid") == "Not shown: all on imagenet/val50k (no fid)."


@pytest.mark.parametrize("split", ["val5k", "val50k"])
def test_datasets_are_called_as_in_the_tables(split: str) -> None:
    run = made(metrics={"psnr": 20.0}, dataset__split=split)
    (panel,), (sheet,) = panels([run]), results_sheets([run])
    assert panel.title.partition(",")[0] == sheet.rows[0].section


def test_names_break_behind_their_hyphens_and_lose_nothing() -> None:
    lines = wrapped("pix2pix-resnet18-mini", 0.8).split("\n")
    assert len(lines) > 1
    assert all(line.endswith("-") for line in lines[:-1])
    assert "".join(lines) == "pix2pix-resnet18-mini"
    assert wrapped("n = 10; -0.5 dB, train-000000.tar", 9.0) == "n = 10; -0.5 dB, train-000000.tar"
