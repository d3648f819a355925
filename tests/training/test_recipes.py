"""Every recipe, through the real trainer: all configurations load, and every family can learn eight photographs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from skimage import data
from skimage.color import lab2rgb, rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from bench.errors import BenchError, DatasetError, WeightsError
from bench.registry import build, model_names
from bench.training.config import load_config, train_config_names
from bench.training.logs import read_metrics
from bench.training.randomness import sample_seeds
from bench.training.recipe import Batch, make_recipe
from bench.training.trainer import Trainer, train

Photographs = Callable[..., Path]
MINIS = [name for name in train_config_names() if name.endswith("-mini")]
QUICK = [
    "data.workers=0",
    "validation.every=0",
    "log.grid_every=0",
    "log.tensorboard=false",
    "checkpoints.every=100000",
]


def test_every_trainable_family_has_a_configuration_and_a_mini() -> None:
    families = {
        "ddcolor",
        "ddcolor-tiny",
        "eccv16",
        "siggraph17",
        "pix2pix",
        "pix2pix-resnet18",
        "iizuka",
        "multicolor",
    }
    families |= {"lab-diffusion"}
    assert families <= set(train_config_names())
    assert {name for name in model_names() if name.endswith("-mini")} == set(MINIS)


@pytest.mark.parametrize("name", train_config_names())
def test_configurations_load_and_fit_their_model(name: str) -> None:
    config = load_config(name)
    assert config.model == name
    if name.endswith("-mini"):
        model = build(config.model, **config.options)
        recipe = make_recipe(config.model, model, config.recipe)
        assert config.augment.size % model.stride == 0
        assert set(recipe.optimizers()) >= {"model"} or "generator" in recipe.optimizers()


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight real photographs, 64 x 64."""
    folder = tmp_path_factory.mktemp("eight")
    sources = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    for i, image in enumerate([s for s in sources for _ in range(2)]):
        side = min(image.shape[:2]) // 2
        corner = (i % 2) * side
        square = Image.fromarray(np.ascontiguousarray(image[corner : corner + side, corner : corner + side]))
        square.resize((128, 128), Image.Resampling.LANCZOS).save(folder / f"{i}.png")
    return folder


FAMILIES = {
    "ddcolor-mini": ["steps=60"],
    "eccv16-mini": ["steps=120"],
    "siggraph17-mini": [
        "steps=150",
        "recipe.classification_steps=0",
        "recipe.stop_probability=1",
        "recipe.optimizer.lr=0.002",
    ],
    "pix2pix-mini": ["steps=150", "options.levels=6", "options.dropout=0.0", "recipe.generator.lr=0.002"],
    "pix2pix-resnet18-mini": ["steps=60", "recipe.pretrain_steps=40"],
    "iizuka-mini": ["steps=60"],
    "multicolor-mini": ["steps=60"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_eight_photographs_are_learned(name: str, eight: Path, tmp_path: Path) -> None:
    """psnr by scikit-image's own colour conversion, against gray."""
    changes = [
        "data.size=64",
        "augment.size=64",
        "augment.crop=center",
        "augment.flip=false",
        "batch_size=8",
        "ema=null",
    ]
    changes += ["schedule.warmup=5", *QUICK, *FAMILIES[name]]
    trainer = Trainer(load_config(name, changes, str(eight)), tmp_path, "cpu")
    trainer.run()
    model = trainer.recipe.model.eval()
    side = trainer.config.augment.size
    gains = []
    for path in sorted(eight.iterdir()):
        original = np.array(Image.open(path).resize((side, side), Image.Resampling.BICUBIC))
        lab = rgb2lab(original)
        with torch.inference_mode():
            ab = model(torch.from_numpy(lab[None, None, :, :, 0]).float())[0].permute(1, 2, 0).numpy()
        psnr = [
            peak_signal_noise_ratio(
                original, (lab2rgb(np.dstack((lab[:, :, :1], chroma))) * 255).round().astype(np.uint8)
            )
            for chroma in (ab, np.zeros_like(ab))
        ]
        gains.append(psnr[0] - psnr[1])
    assert np.mean(gains) >= 3


@pytest.mark.slow
@pytest.mark.parametrize(("prediction", "steps"), [("v", 250), ("epsilon", 120)])
def test_the_loss_of_the_diffusion_falls_tenfold(prediction: str, steps: int, eight: Path, tmp_path: Path) -> None:
    changes = [
        "data.size=64",
        "augment.size=64",
        "augment.crop=center",
        "augment.flip=false",
        "batch_size=8",
        "steps=250",
    ]
    changes += ["schedule.warmup=5", "log.every=1", f"options.prediction={prediction}", f"steps={steps}", *QUICK]
    settings = load_config("lab-diffusion-mini", changes, str(eight))
    with Path(os.devnull).open("w") as nowhere:
        train(settings, tmp_path, device="cpu", console=Console(file=nowhere))
    losses = [value for _, name, value in read_metrics(tmp_path / "metrics.csv") if name == "loss/denoising"]
    assert len(losses) == steps
    assert np.mean(losses[-40:]) < np.mean(losses[:3]) / 10


def batch(side: int = 64, count: int = 4, labels: int = -1) -> Batch:
    rgb = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))
    lab = torch.from_numpy(np.stack([rgb2lab(x.permute(1, 2, 0).numpy()) for x in rgb])).permute(0, 3, 1, 2).float()
    return Batch(
        rgb, lab[:, :1], lab[:, 1:], torch.full((count,), labels), sample_seeds(0, torch.arange(count)), step=0
    )


def test_the_perceptual_loss_is_never_skipped_in_silence() -> None:
    with pytest.raises(WeightsError, match=r"bench weights fetch vgg16_bn.*recipe\.losses\.perceptual=0"):
        make_recipe("ddcolor-mini", build("ddcolor-mini"), {"losses": {"perceptual": 5}})


def test_classes_are_asked_for_when_there_are_none() -> None:
    recipe = make_recipe("iizuka-mini", build("iizuka-mini"), {})
    with pytest.raises(DatasetError, match="recipe.losses.classification=0"):
        next(recipe.phases(batch()))
    assert set(next(recipe.phases(batch(labels=999))).terms) == {"chroma", "classification"}


@pytest.mark.parametrize("name", ["ddcolor", "ddcolor-tiny", "pix2pix-resnet18", "multicolor"])
def test_absent_encoder_weights_are_named(name: str) -> None:
    small = {"pix2pix-resnet18": {}}.get(name, {"backbone_options": {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}})
    config = load_config(name)
    with pytest.raises(BenchError, match=r"are not here.*recipe\.encoder=random"):
        make_recipe(name, build(name, **small), config.recipe)


def test_a_generators_turn_leaves_the_discriminator_alone() -> None:
    options = {"losses": {"perceptual": 0, "adversarial": 1}, "discriminator_width": 4}
    recipe = make_recipe("ddcolor-mini", build("ddcolor-mini"), options)
    recipe.optimizers()
    turns = recipe.phases(batch())
    generator = next(turns)
    sum(generator.terms.values()).backward()
    assert all(p.grad is None for p in recipe.networks["discriminator"].parameters())
    before = [p.grad.clone() for p in recipe.model.parameters() if p.grad is not None]
    discriminator = next(turns)
    assert (generator.optimizer, discriminator.optimizer) == ("generator", "discriminator")
    discriminator.terms["discriminator"].backward()
    after = [p.grad for p in recipe.model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.grad is not None for p in recipe.networks["discriminator"].parameters())


def test_two_stages_use_their_own_optimisers() -> None:
    options = {"pretrain_steps": 3, "discriminator_width": 4}
    recipe = make_recipe("pix2pix-resnet18-mini", build("pix2pix-resnet18-mini"), options)
    recipe.optimizers()
    early, late = batch(), replace(batch(), step=3)
    assert [phase.optimizer for phase in recipe.phases(early)] == ["pretrain"]
    assert [phase.optimizer for phase in recipe.phases(late)] == ["discriminator", "generator"]


def test_each_head_of_siggraph17_shapes_the_trunk_in_its_own_phase() -> None:
    for steps, losses in ((1, {"classification": 0}), (0, {"regression": 0})):
        recipe = make_recipe(
            "siggraph17-mini", build("siggraph17-mini"), {"classification_steps": steps, "losses": losses}
        )
        sum(next(recipe.phases(batch())).terms.values()).backward()
        assert recipe.model.get_parameter("model1.0.weight").grad is None, losses


def test_the_documented_recipe_is_the_file_that_is_trained(
    eight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs" / "adding-a-model.md").read_text(encoding="utf-8")
    assert f"```python\n{(root / 'docs' / 'examples' / 'learned.py').read_text(encoding='utf-8')}```" in text
    monkeypatch.chdir(root)
    changes = ["steps=30", "log.every=1", *QUICK]
    settings = load_config("docs/examples/learned.yaml", changes, str(eight))
    with Path(os.devnull).open("w") as nowhere:
        train(settings, tmp_path, device="cpu", console=Console(file=nowhere))
    losses = [value for _, name, value in read_metrics(tmp_path / "metrics.csv") if name == "loss/pixel"]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:3])
    with pytest.raises(BenchError, match="Did you mean 'pixel'"):
        train(
            load_config("docs/examples/learned.yaml", ["recipe.losses.pixl=1"], str(eight)),
            tmp_path / "x",
            device="cpu",
        )


def test_a_model_without_a_recipe_says_what_is_missing() -> None:
    with pytest.raises(BenchError, match=r"gray has no recipe.*RECIPE"):
        make_recipe("gray", build("gray"), {})
