"""Ablations: what a configuration may say, and training that continues where it stopped."""

from __future__ import annotations

import csv
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from rich.console import Console
from safetensors import safe_open

from bench import registry
from bench.ablations.config import ablation_names, load_ablation, members
from bench.ablations.run import train_member
from bench.cli import main
from bench.errors import BenchError, ConfigError
from bench.processes import connect
from bench.tables import FORMATS
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
    # A curve of long trainings tells by its shape.
    assert len(ablation.seeds) >= (2 if mini and name != "colourfulness-mini" else 1)
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
            signal.raise_signal(signal.SIGTERM)

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
@pytest.mark.parametrize("best_step", [1, 2])
def test_other_weights_of_finished_trainings_are_exported_and_measured(
    best_step: int, photographs: Photographs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.training.trainer.better", lambda metric, value, best: best is None or best_step == 2)
    validation = ["validation.every=1", "validation.limit=2", "validation.size=32", "validation.metrics=[psnr]"]
    settings = {"set": [*TINY["set"], *validation, "augment.flip=false"]}
    out, data = tmp_path / "out", photographs(3)
    tables: dict[str, str] = {}
    for choice in ("last", "best", "last"):
        before = times(out) if out.exists() else {}
        done = run(written(tmp_path, weights=choice, **settings), out, data)
        assert done.exit_code == 0, done.output
        assert before.items() <= times(out).items()
        if choice in tables:
            assert before == times(out)
            assert (out / "table.csv").read_text() == tables[choice]
        tables[choice] = (out / "table.csv").read_text()
    steps = {}
    for path in out.glob("both-seed0/*.safetensors"):
        with safe_open(path, "pt") as file:
            steps[path.name] = json.loads(file.metadata()["training"])["step"]
    assert steps == {"tiny.both.seed0.safetensors": 2, "tiny.both.seed0.best.safetensors": best_step}
    assert (tables["last"] == tables["best"]) == (best_step == 2)


def test_without_a_best_checkpoint_the_last_does_not_stand_in_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ablation = load_ablation(written(tmp_path, weights="best", set=[*TINY["set"], "validation.every=1"]))
    member = members(ablation, tmp_path / "out")[0]
    outcome = SimpleNamespace(finished=True)
    monkeypatch.setattr("bench.training.trainer.train", lambda *_, **__: outcome)
    with pytest.raises(ConfigError, match="no best checkpoint.*could not measure psnr"):
        train_member(member, ablation, connect("cpu"), Console(quiet=True))
    assert not member.trained


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
