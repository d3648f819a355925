from __future__ import annotations

from pathlib import Path

import pytest

from bench.configs import Strict, checked
from bench.errors import ConfigError, UnknownNameError
from bench.training.config import OptimizerConfig, check_same_run, load_config, train_config_names


def test_changes_reach_any_depth_and_read_yaml() -> None:
    config = load_config("ddcolor", ["recipe.losses.pixel=1", "data.min_cf=15", "augment.flip=true", "ema=0.999"])
    assert config.recipe["losses"]["pixel"] == 1
    assert config.recipe["losses"]["perceptual"] == 5
    assert (config.data.min_cf, config.augment.flip, config.ema) == (15, True, 0.999)


def test_scientific_notation_without_a_point_is_a_number() -> None:
    assert load_config("ddcolor", ["recipe.generator.lr=1e-5"]).recipe["generator"]["lr"] == 1e-5


def test_data_is_taken_as_it_is_written() -> None:
    path = "pipe:cat shards/{000..003}.tar"
    assert load_config("ddcolor", data=path).data.path == path


class Recipe(Strict):
    generator: OptimizerConfig = OptimizerConfig(kind="adamw", lr=1e-4, betas=(0.5, 0.9))


def test_a_group_keeps_what_is_not_named_of_it() -> None:
    assert checked(Recipe, {"generator": {"lr": 1e-5}}, "x").generator == OptimizerConfig(
        kind="adamw", lr=1e-5, betas=(0.5, 0.9)
    )
    with pytest.raises(ConfigError, match=r"key 'generator\.rate'"):
        checked(Recipe, {"generator": {"rate": 1e-5}}, "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stepz=3", r"no key 'stepz'\. Did you mean 'steps'"),
        ("data.sise=3", r"no key 'data\.sise'\. Did you mean 'size'"),
        ("steps=0", r"key 'steps': Input should be greater than or equal to 1 \(found 0\)"),
        ("schedule.kind=cosin", r"key 'schedule\.kind': .*'cosine'.*\(found 'cosin'\)"),
        ("steps.x=1", "'steps' is a value, not a group of keys"),
        ("steps", "Expected key=value"),
        ("augment.size=512", r"augment\.size \(512\) must not exceed data\.size \(256\)"),
        ("checkpoints.best=fid", "must be one of validation.metrics"),
        ("augment.crop_scale=[0.5, 0.1]", r"key 'augment': .*crop_scale must be \[smallest, largest\]"),
        ("augment.crop_scale=[0, 1]", r"key 'augment\.crop_scale\.0': Input should be greater than 0"),
        ("augment.saturation=[-1, 1]", r"key 'augment\.saturation\.0': .*greater than or equal to 0"),
        ("schedule.milestones=[-5]", r"key 'schedule\.milestones\.0': .*greater than or equal to 0"),
    ],
)
def test_mistakes_are_named(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("ddcolor", [change])


def test_the_decay_rates_of_adam_are_below_one() -> None:
    with pytest.raises(ConfigError, match=r"key 'recipe\.betas\.1': Input should be less than 1 \(found 1\.5\)"):
        checked(OptimizerConfig, {"betas": [0.9, 1.5]}, "here", "recipe")


def test_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean ddcolor-tiny"):
        load_config("ddcolor-tinny")
    with pytest.raises(ConfigError, match=r"there is no file .*nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match="holds no settings"):
        load_config(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(tmp_path / "broken.yaml")
    (tmp_path / "short.yaml").write_text("model: gray\n")
    with pytest.raises(ConfigError, match=r"key 'steps': Field required"):
        load_config(tmp_path / "short.yaml")


def test_a_path_serves_as_well_as_a_name() -> None:
    folder = Path(__file__).parents[2] / "configs" / "train"
    assert {path.stem for path in folder.glob("*.yaml")} == set(train_config_names())
    assert load_config(folder / "ddcolor.yaml") == load_config("ddcolor")


def test_what_makes_another_run_is_named_key_by_key(tmp_path: Path) -> None:
    then = load_config("ddcolor-mini", ["data.min_cf=15", "recipe.losses.pixel=1"])
    with pytest.raises(ConfigError) as raised:
        check_same_run(load_config("ddcolor-mini"), then, tmp_path)
    assert "(recipe.losses.pixel: 1 then, 0.1 now; data.min_cf: 15.0 then, 0.0 now)" in str(raised.value)
    check_same_run(then, then, tmp_path)
