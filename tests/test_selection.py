"""Of Runs that measured the same, one counts; different things never become one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from made_runs import BEGUN, made, stored

from bench.errors import BenchError
from bench.selection import by_protocol, newest, select

LATER = BEGUN + timedelta(days=1)


def test_the_newest_of_repetitions_counts() -> None:
    old, new = made(), made(environment__end=LATER)
    assert list(newest([new, old]).values()) == [new]


def test_a_complete_run_is_not_hidden_by_a_newer_one_that_is_not() -> None:
    whole, part = made(), made(complete=False, environment__end=LATER)
    assert list(newest([whole, part]).values()) == [whole]


@pytest.mark.parametrize(
    "difference",
    [
        {"model__sha256": "0" * 64},
        {"model__options": {"color_decoder": "False"}},
        {"dataset__split": "val50k"},
        {"dataset__digest": "0" * 64},
        {"protocol__hash": "0" * 12},
        {"environment__precision": "bf16"},
        {"hints": 5},
        {"colourings": 2},
    ],
)
def test_different_things_stay_apart(difference: dict[str, object]) -> None:
    assert len(newest([made(), made(**difference)])) == 2


@pytest.mark.parametrize("source", ["memory", "predictions"])
def test_what_has_no_file_is_told_by_its_digest(source: str) -> None:
    runs = [made(model__source=source, model__sha256=None, model__digest=digest) for digest in ("a", "b", "b")]
    assert len(newest(runs)) == 2


def test_names_patterns_and_their_order(tmp_path: Path) -> None:
    runs = [made("gray"), made("ddcolor"), made("ddcolor-tiny"), made("gray", dataset__name="coco")]
    store = stored(runs, tmp_path)
    chosen = select(store, ["gray", "ddcolor*"], ["imagenet/val5k"])
    assert [run.model.name for run in chosen] == ["gray", "ddcolor", "ddcolor-tiny"]
    with pytest.raises(BenchError, match=r"model 'grey'.*ddcolor-tiny, gray"):
        select(store, ["grey"])


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="bench run"):
        select(tmp_path)


def test_protocols_never_share_a_group() -> None:
    runs = [made("a"), made("b", protocol__hash="0" * 12), made("c")]
    assert [[run.model.name for run in group] for group in by_protocol(runs)] == [["a", "c"], ["b"]]
