"""Ablations: what a configuration may say, the table by hand, and training that continues where it stopped."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import statistics
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner, Result

from bench import registry
from bench.ablations.config import Ablation, ablation_names, load_ablation, members
from bench.ablations.sheet import WITHIN, ablation_sheet, spread
from bench.cli import main
from bench.errors import BenchError, ConfigError
from bench.runs import Run
from bench.tables.render import FORMATS, render
from bench.tables.sheet import Cell, Sheet
from bench.training.recipe import make_recipe
from bench.training.trainer import Trainer

Photographs = Callable[..., Path]

TINY: dict[str, Any] = {
    "name": "tiny",
    "title": "A tiny ablation",
    "base": "ddcolor-mini",
    "set": [
        "options.working_size=32", "options.layers=1", "data.size=36", "augment.size=32", "batch_size=2", "steps=2",
        "validation.every=0", "log.grid_every=0", "log.tensorboard=false", "log.every=1", "data.workers=0",
    ],
    "variants": {"both": {}, "no decoder": {"options.color_decoder": False}},
    "seeds": [0],
}  # fmt: skip


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "ablation.yaml"
    path.write_text(yaml.safe_dump(TINY | changes, sort_keys=False))
    return path


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


# --- configurations ---------------------------------------------------------------------------------------------------


SHIPPED = [pytest.param(name, marks=() if name.endswith("-mini") else pytest.mark.slow) for name in ablation_names()]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_variant_that_comes_along_can_be_trained(name: str, tmp_path: Path) -> None:
    ablation = load_ablation(name)
    mini = name.endswith("-mini")
    assert ablation.name == name
    assert len(ablation.seeds) >= (2 if mini else 1)
    sizes = []
    for member in members(ablation, tmp_path):
        if member.seed == ablation.seeds[0]:
            with torch.device(
                "cpu" if mini else "meta"
            ):  # the large ones take their memory only where they are trained
                model = registry.build(member.config.model, **member.config.options)
            sizes.append(sum(p.numel() for p in model.parameters()))
            recipe = member.config.recipe
            harmless = recipe | {"encoder": "random", "losses": recipe["losses"] | {"perceptual": 0}}
            make_recipe(member.config.model, model, harmless)
    if mini:
        assert max(sizes) < 1.2 * min(sizes)


def test_full_size_and_mini_ask_the_same_questions() -> None:
    names = set(ablation_names())
    assert {"decoder-and-loss", "scales", "queries", "block-order", "backbone"} <= names
    for name in (name for name in names if not name.endswith("-mini")):
        full, mini = load_ablation(name), load_ablation(f"{name}-mini")
        assert {k for v in full.variants.values() for k in v} <= {k for v in mini.variants.values() for k in v}


def test_the_two_by_two_has_every_combination() -> None:
    variants = load_ablation("decoder-and-loss-mini").variants.values()
    found = {(v.get("options.color_decoder", True), v.get("recipe.losses.colourfulness", 0.5)) for v in variants}
    assert found == {(True, 0.5), (True, 0), (False, 0.5), (False, 0)}


def test_members_differ_by_their_variant_and_seed_alone(tmp_path: Path) -> None:
    found = members(load_ablation(written(tmp_path, seeds=[3, 5])), tmp_path / "out", data="photos")
    assert [(m.variant, m.seed) for m in found] == [("both", 3), ("no decoder", 3), ("both", 5), ("no decoder", 5)]
    assert len({m.weights for m in found}) == 4
    for member in found:
        expected = found[0].config.model_dump() | {"seed": member.seed}
        if member.variant == "no decoder":
            expected["options"] = expected["options"] | {"color_decoder": False}
        assert member.config.model_dump() == expected
        assert member.config.data.path == "photos"


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"varaints": {}}, "Did you mean 'variants'"),
        ({"variants": {"both": {}}}, "at least 2"),
        ({"variants": {"a": {"options.layers": 2}, "b": {"steps": -1}}}, "variant 'b'.*steps"),
        ({"variants": {"a": {}, "b": {"stepz": 3}}}, "variant 'b'.*Did you mean 'steps'"),
        ({"variants": {"a": {"steps": 3}, "b": {"steps": 3}}}, "'a' and 'b' are the same training"),
        ({"variants": {"a b": {}, "a-b": {"steps": 3}}}, "one folder, 'a-b'"),
        ({"variants": {"a": {}, "??": {"steps": 3}}}, "a letter or a digit"),
        ({"reference": "neither"}, "reference must be one of the variants"),
        ({"seeds": [1, 1]}, "every seed"),
        ({"seeds": []}, "seeds"),
        ({"metrics": ["psnr", "beauty"]}, "no number 'beauty'"),
        ({"base": "ddcolor-minny"}, "Did you mean .*ddcolor-mini"),
        ({"weights": "best"}, "needs a validation"),
        ({"name": "../up"}, "name"),
    ],
)  # fmt: skip
def test_mistakes_are_named_before_anything_is_trained(changes: dict[str, Any], hint: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=hint):
        members(load_ablation(written(tmp_path, **changes)), tmp_path / "out")


def test_files_that_are_no_ablation_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="Did you mean queries"):
        load_ablation("querys")
    with pytest.raises(ConfigError, match=r"no file .*nowhere\.yaml"):
        load_ablation(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(ConfigError, match="not YAML"):
        load_ablation(broken)
    broken.write_text("- a\n")
    with pytest.raises(ConfigError, match="no settings"):
        load_ablation(broken)


def test_more_seeds_than_named_follow_the_greatest(tmp_path: Path) -> None:
    ablation = load_ablation(written(tmp_path, seeds=[4, 2]))
    assert ablation.changed().seeds == (4, 2)
    assert ablation.changed(seeds=1).seeds == (4,)
    assert ablation.changed(seeds=4).seeds == (4, 2, 5, 6)


def test_dry_run_shows_every_training_and_makes_none(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = bench("ablate", written(tmp_path), "--dry-run", "--seeds", "2", "--set", "steps=7", "--out", out)
    assert done.exit_code == 0, done.output
    assert done.output.count("not begun") == 4
    assert "options.color_decoder=false" in done.output
    assert not out.exists()


# --- the table --------------------------------------------------------------------------------------------------------


def measured(
    ablation: Ablation, variant: str, seed: int, values: Mapping[str, float | None], day: int = 1, **dataset: Any
) -> Run:
    """A Run as if measured."""
    weights = ablation.weights_name(variant, seed)
    environment = {
        "code_version": "0", "commit": None, "dirty": None, "code_digest": "", "libraries": {}, "device": {},
        "precision": "fp32", "command": "", "start": datetime(2026, 1, day), "end": datetime(2026, 1, day),
    }  # fmt: skip
    return Run.model_validate(
        {
            "key": "k",
            "complete": True,
            "model": {"name": "ddcolor-mini", "family": "f", "parameters": 1, "weights": weights, "source": "file"},
            "dataset": {"name": "coco", "split": "val2017", "n": 9, "complete": True, "digest": "d"} | dataset,
            "protocol": {"name": "paper", "hash": "h", "definition": {}},
            "metrics": {n: {"value": v, "reason": None if v is not None else "no weights"} for n, v in values.items()},
            "speed": {
                "images_per_second": 1, "latency_ms": 1, "peak_memory_mb": 1, "batch_size": 1, "processes": 1,
            },
            "seed": 0,
            "environment": environment,
        }
    )  # fmt: skip


def ablation_of(seeds: int = 2, metrics: tuple[str, ...] = ("psnr", "cf")) -> Ablation:
    variants: dict[str, dict[str, Any]] = {"both": {}, "loss only": {"a": 1}, "neither": {"a": 2}}
    return Ablation(
        name="x", title="X", base="b", variants=variants, seeds=tuple(range(seeds)), metrics=metrics, datasets=("coco",)
    )


def runs_of(ablation: Ablation, psnr: Mapping[str, tuple[float, ...]]) -> list[Run]:
    return [
        measured(ablation, variant, seed, {"psnr": value, "cf": 2 * value})
        for variant, values in psnr.items()
        for seed, value in enumerate(values)
    ]


def cells(sheet: Sheet, column: str) -> dict[str, Cell]:
    return {row.label: row.cells[column] for row in sheet.rows if column in row.cells}


def test_two_seeds_give_the_mean_and_half_the_range() -> None:
    ablation = ablation_of()
    runs = runs_of(ablation, {"both": (20, 21), "loss only": (22, 22.5), "neither": (20.25, 20.5)})
    sheet = ablation_sheet(ablation, runs)
    assert [row.label for row in sheet.rows] == ["both", "loss only", "neither"]
    means = cells(sheet, "psnr")
    assert (means["both"].value, means["both"].low, means["both"].high) == (20.5, 20, 21)
    assert (means["loss only"].value, means["loss only"].low, means["loss only"].high) == (22.25, 22, 22.5)
    differences = cells(sheet, "psnr_difference")
    assert {k: (c.value, c.text, c.marks) for k, c in differences.items()} == {
        "loss only": (1.75, "+1.75", ()),
        "neither": (-0.125, "−0.12", (WITHIN,)),
    }
    assert cells(sheet, "cf_difference")["loss only"].value == 3.5


def test_three_seeds_give_the_standard_deviation() -> None:
    ablation = ablation_of(3)
    psnr = {"both": (20.0, 21.0, 25.0), "loss only": (24.0, 24.5, 26.0), "neither": (27.0, 27.5, 28.0)}
    sheet = ablation_sheet(ablation, runs_of(ablation, psnr))
    for variant, values in psnr.items():
        cell = cells(sheet, "psnr")[variant]
        assert cell.value == pytest.approx(sum(values) / 3)
        assert cell.high is not None
        assert cell.low is not None
        assert (cell.high - cell.low) / 2 == pytest.approx(statistics.stdev(values))
    # 24.83 - 22 = 2.83 is more than the larger deviation, 2.65; 24.6 would not be.
    assert cells(sheet, "psnr_difference")["loss only"].marks == ()
    psnr["loss only"] = (23.8, 24.3, 25.7)
    assert cells(ablation_sheet(ablation, runs_of(ablation, psnr)), "psnr_difference")["loss only"].marks == (WITHIN,)


def test_a_difference_as_large_as_the_spread_is_within_it() -> None:
    ablation = ablation_of()
    for values, marks in (((22.0, 22.0), (WITHIN,)), ((22.1, 22.1), ())):
        runs = runs_of(ablation, {"both": (20.0, 22.0), "loss only": values, "neither": (1.0, 1.0)})
        assert cells(ablation_sheet(ablation, runs), "psnr_difference")["loss only"].marks == marks
    assert spread([20.0, 22.0]) == 1


def test_one_seed_has_no_spread_and_no_verdict() -> None:
    ablation = ablation_of(1)
    sheet = ablation_sheet(ablation, runs_of(ablation, {"both": (20,), "loss only": (20,), "neither": (25,)}))
    assert all(cell.low is None and cell.high is None for cell in cells(sheet, "psnr").values())
    assert all(not cell.marks for cell in cells(sheet, "psnr_difference").values())
    assert "One seed" in sheet.notes[0]


def test_what_is_not_trained_or_not_measured_is_a_gap_with_its_reason() -> None:
    ablation = ablation_of(metrics=("psnr", "fid"))
    runs = [measured(ablation, "both", seed, {"psnr": 20, "fid": None}) for seed in (0, 1)]
    runs += [measured(ablation, "loss only", 0, {"psnr": 21, "fid": None})]
    sheet = ablation_sheet(ablation, runs, {"x.neither.seed0.safetensors": "step 4: the loss is nan"})
    assert cells(sheet, "psnr")["neither"] == Cell(reason="not trained yet")
    assert cells(sheet, "psnr_difference")["neither"] == Cell(reason="not trained yet")
    assert cells(sheet, "fid")["both"] == Cell(reason="no weights")
    assert cells(sheet, "psnr_difference")["loss only"].value == 1
    assert {row.label: row.marks for row in sheet.rows} == {
        "both": (),
        "loss only": ("1 of 2 seeds",),
        "neither": ("0 of 2 seeds", "training diverged"),
    }
    assert "not measured: fid – no weights" in sheet.notes
    assert any("step 4" in note for note in sheet.notes)


def test_runs_of_other_photographs_or_weights_are_not_mixed_in() -> None:
    ablation = ablation_of(1)
    runs = runs_of(ablation, {"both": (20,), "loss only": (21,), "neither": (22,)})
    older = [measured(ablation, "both", 0, {"psnr": 99, "cf": 9}, digest="other", day=1)]
    other = runs[0].model_copy(update={"model": runs[0].model.model_copy(update={"weights": "y.both.seed0"})})
    again = [run.model_copy(update={"environment": run.environment.model_copy(update={"end": datetime(2026, 2, 1)})})
             for run in runs]  # fmt: skip
    assert {k: c.value for k, c in cells(ablation_sheet(ablation, [*again, *older, other]), "psnr").items()} == {
        "both": 20,
        "loss only": 21,
        "neither": 22,
    }


def test_hostile_names_stay_inert_in_every_format() -> None:
    evil = "<script>alert('x')</script> $a_b$ 50 % & \\input{x} [bold]"
    ablation = ablation_of(1).model_copy(update={"title": evil, "variants": {evil: {}, "b": {"c": 1}}})
    sheet = ablation_sheet(ablation, [measured(ablation, evil, 0, {"psnr": 20, "cf": 1})])
    assert "<script>" not in render(sheet, "html")
    assert "\\input{" not in render(sheet, "tex")
    assert sheet.rows[0].label == evil


# --- training ---------------------------------------------------------------------------------------------------------


def run(config: Path, out: Path, data: Path, *more: str) -> Result:
    dataset = f"folder:{data}"
    return bench("ablate", config, "--out", out, "--data", data, "-d", dataset, "--device", "cpu", *more)


def times(out: Path) -> dict[str, int]:
    return {p.relative_to(out).as_posix(): p.stat().st_mtime_ns for p in out.rglob("*.safetensors")} | {
        p.relative_to(out).as_posix(): p.stat().st_mtime_ns for p in out.rglob("result.json")
    }


@pytest.mark.slow
def test_an_ablation_trains_measures_and_prints_its_table(photographs: Photographs, tmp_path: Path) -> None:
    config, out, data = written(tmp_path), tmp_path / "out", photographs(3)
    first = run(config, out, data, "--only", "no decoder")
    assert first.exit_code == 0, first.output
    assert "0 of 1 seeds" in (out / "table.md").read_text()
    before = times(out)
    assert len(before) == 2

    second = run(config, out, data)
    assert second.exit_code == 0, second.output
    assert "A tiny ablation" in second.output
    assert before.items() <= times(out).items()  # what was finished was not touched
    assert len(times(out)) == 4

    records = [json.loads(path.read_text()) for path in out.rglob("result.json")]
    assert {r["model"]["weights"]: r["model"]["options"].get("color_decoder") for r in records} == {
        "tiny.both.seed0.safetensors": None,
        "tiny.no-decoder.seed0.safetensors": "False",
    }
    expected = {r["model"]["weights"]: r["metrics"]["psnr"]["value"] for r in records}
    with (out / "table.csv").open() as file:
        table = {(row["variant"], row["number"]): row["value"] for row in csv.DictReader(file)}
    assert float(table["both", "psnr"]) == expected["tiny.both.seed0.safetensors"]
    assert float(table["no decoder", "psnr"]) == expected["tiny.no-decoder.seed0.safetensors"]
    assert float(table["no decoder", "psnr_difference"]) == (
        expected["tiny.no-decoder.seed0.safetensors"] - expected["tiny.both.seed0.safetensors"]
    )
    assert {path.name for path in out.glob("table.*")} == {f"table.{form}" for form in FORMATS}

    longer = run(config, out, data, "--set", "steps=3")
    assert longer.exit_code == 1
    assert "a training of 2 steps, not of 3" in longer.output
    other = run(config, out, data, "--set", "batch_size=3")
    assert other.exit_code == 1
    assert "batch_size: 2 then, 3 now" in other.output


@pytest.mark.slow
def test_stopped_in_the_middle_the_same_command_continues(
    photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, data = written(tmp_path, set=[*TINY["set"], "steps=6"]), photographs(3)
    whole = run(config, tmp_path / "whole", data)
    assert whole.exit_code == 0, whole.output

    step, taken = Trainer.train_step, []

    def and_stop_in_the_second(self: Trainer, batches: list) -> None:
        step(self, batches)
        taken.append(1)
        if len(taken) == 9:  # six of the first variant, three of the second
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_step", and_stop_in_the_second)
        stopped = run(config, tmp_path / "parts", data)
    assert stopped.exit_code == 130, stopped.output
    assert "the same command continues" in stopped.output
    assert "at step 3" in bench("ablate", config, "--dry-run", "--out", tmp_path / "parts").output
    again = run(config, tmp_path / "parts", data)
    assert again.exit_code == 0, again.output
    assert (tmp_path / "parts" / "table.csv").read_text() == (tmp_path / "whole" / "table.csv").read_text()


@pytest.mark.slow
def test_a_variant_that_diverges_does_not_stop_the_others(photographs: Photographs, tmp_path: Path) -> None:
    variants = {"wild": {"recipe.generator.lr": 1e30, "clip": None}, "both": {}}
    config, out = written(tmp_path, variants=variants, reference="both"), tmp_path / "out"
    done = run(config, out, photographs(3), "--set", "steps=4")
    assert done.exit_code == 1, done.output
    table = (out / "table.md").read_text()
    assert "training diverged" in table
    assert "the loss term" in table
    assert [path.name for path in out.rglob("*.safetensors")] == ["tiny.both.seed0.safetensors"]


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"variants": {"a": {}, "b": {"recipe.losses.colorfulness": 0}}}, "variant 'b'.*'recipe.losses.colorfulness'"),
        ({"variants": {"a": {}, "b": {"options.queris": 3}}}, "variant 'b'.*queris"),
        ({"variants": {"a": {}, "b": {"options.scales": [2]}}}, "variant 'b'.*scales must be"),
        ({"metrics": ["fid_ct2"]}, "the protocol paper does not measure 'fid_ct2'"),
        ({"protocol": "papers"}, "paper"),
    ],
)
def test_a_mistake_in_the_last_variant_does_not_wait_for_the_first(
    changes: dict[str, Any], hint: str, photographs: Photographs, tmp_path: Path
) -> None:
    done = run(written(tmp_path, **changes), tmp_path / "out", photographs(3))
    assert done.exit_code == 1
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert re.search(hint, " ".join(done.output.split())), done.output
    assert not (tmp_path / "out").exists()
