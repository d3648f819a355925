"""Every recipe, through the real trainer: all configurations load, and every family can learn eight photographs."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
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

from bench.errors import BenchError, ConfigError, DatasetError, WeightsError
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


def test_classes_are_asked_for_when_there_are_none(eight: Path, tmp_path: Path) -> None:
    changes = ["recipe.losses.classification=0.003", "steps=1", "batch_size=2", *QUICK]
    with pytest.raises(DatasetError, match=r"0 to 999, but 8 of the 8 .*recipe.losses.classification=0"):
        Trainer(load_config("iizuka-mini", changes, str(eight)), tmp_path, "cpu").run()


def test_a_photograph_of_unknown_class_teaches_chroma_alone() -> None:
    recipe = make_recipe("iizuka-mini", build("iizuka-mini"), {"losses": {"chroma": 0, "classification": 1}})
    assert recipe.classes == 1000
    labels = torch.tensor([3, -1, 999, -1])
    recipe.model.eval()
    with torch.no_grad():
        found = next(recipe.phases(replace(batch(), labels=labels))).terms["classification"].item()
        logits = recipe.model.chroma_and_logits(batch().lightness)[1].double().numpy()
    chosen = logits[[0, 2], [3, 999]]
    expected = (np.log(np.exp(logits[[0, 2]]).sum(axis=1)) - chosen).sum() / 4
    assert found == pytest.approx(expected, rel=1e-5)
    assert make_recipe("iizuka-mini", build("iizuka-mini"), {"losses": {"classification": 0}}).classes is None


def by_hand(rgb: np.ndarray, signed: bool) -> float:
    """Colourfulness of (3, H, W) in 0..255."""
    red, green, blue = rgb.reshape(3, -1).astype(np.float64)
    rg, yb = red - green, (red + green) / 2 - blue
    if not signed:
        rg, yb = np.abs(rg), np.abs(yb)
    return np.hypot(rg.std(ddof=1), yb.std(ddof=1)) + 0.3 * np.hypot(rg.mean(), yb.mean())


def test_the_colourfulness_of_the_code_and_of_the_paper_are_two() -> None:
    from models.ddcolor_recipe import DDColorRecipe

    pictures = batch().rgb
    values = {signed: [by_hand(x.numpy() * 255, signed) for x in pictures] for signed in (False, True)}
    assert min(s - a for s, a in zip(values[True], values[False], strict=True)) > 10
    losses = {"perceptual": 0, "adversarial": 0}
    found = {}
    for kind in ("code", "paper"):
        recipe = make_recipe("ddcolor-mini", build("ddcolor-mini"), {"losses": losses, "colourfulness": kind})
        assert isinstance(recipe, DDColorRecipe)
        found[kind] = recipe._dullness(pictures).item()
    # The code sums over the 4 photographs of a GPU; the paper's formula is that of one.
    assert found["code"] == pytest.approx(sum(1 - cf / 255 for cf in values[False]), abs=1e-4)
    assert found["paper"] == pytest.approx(np.mean([1 - cf / 100 for cf in values[True]]), abs=1e-4)


def test_colour_enhancement_changes_what_the_discriminator_calls_real(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = batch().rgb.numpy()
    gray = np.einsum("c,bchw->bhw", [0.2989, 0.587, 0.114], rgb)[:, None]
    for enhance in (1.0, 1.2):
        options = {"losses": {"perceptual": 0}, "discriminator_width": 4, "color_enhance": enhance}
        recipe = make_recipe("ddcolor-mini", build("ddcolor-mini"), options)
        seen: list[torch.Tensor] = []
        recipe.networks["discriminator"].register_forward_pre_hook(
            lambda _module, inputs, seen=seen: seen.append(inputs[0])
        )
        list(recipe.phases(batch()))
        expected = np.clip(enhance * rgb + (1 - enhance) * gray, 0, 1)
        assert np.abs(seen[1].numpy() - expected).max() < 1e-6  # after the generator's turn: real, then fake


def test_hub_means_the_weights_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    from models import ddcolor_recipe
    from models.ddcolor import Encoder

    asked: list[str] = []
    create = timm.create_model

    def from_hub(name: str, pretrained: bool, **options: object) -> torch.nn.Module:
        asked.append(name)
        return create(name, pretrained=False, **small, **options)

    small = {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}
    encoders = {name: Encoder(name, small) for name in ("convnext_tiny", "convnext_large", "convnext_pico")}
    monkeypatch.setattr(ddcolor_recipe.timm, "create_model", from_hub)
    for name, encoder in encoders.items():
        notes = ddcolor_recipe.load_encoder(encoder, "hub")
        assert notes == [f"the encoder starts from {asked[-1]} of timm"]
        assert asked[-1].split(".")[0] == name
        assert timm.is_model_pretrained(asked[-1])
    assert asked[:2] == ["convnext_tiny.fb_in22k", "convnext_large.fb_in22k"]
    assert not timm.is_model_pretrained("convnext_pico.fb_in22k")  # so it is timm's default
    files = {timm.get_pretrained_cfg(name).url.rsplit("/")[-1] for name in asked[:2]}
    assert files == {"convnext_tiny_22k_224.pth", "convnext_large_22k_224.pth"}


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("ddcolor-mini", "discriminator_width", 0),
        ("ddcolor-mini", "discriminator_width", 3),
        ("ddcolor-mini", "colourfulness_batch", 0),
        ("ddcolor-mini", "color_enhance", -1),
        ("ddcolor-mini", "losses.pixel", -0.1),
        ("ddcolor-mini", "losses.pixel", float("nan")),
        ("multicolor-mini", "discriminator_width", 0),
        ("multicolor-mini", "real_label", 1.5),
        ("pix2pix-mini", "discriminator_width", -4),
        ("pix2pix-mini", "real_label", 0),
        ("pix2pix-resnet18-mini", "pretrain_steps", -1),
        ("siggraph17-mini", "stop_probability", 0),
        ("siggraph17-mini", "stop_probability", 1.01),
        ("siggraph17-mini", "classification_steps", -1),
        ("eccv16-mini", "neighbours", 0),
        ("eccv16-mini", "neighbours", 314),
        ("eccv16-mini", "rebalance", 0),
        ("eccv16-mini", "gray_limit", -5),
        ("iizuka-mini", "losses.classification", -1),
        ("lab-diffusion-mini", "losses.denoising", -1),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(name: str, option: str, value: float) -> None:
    first, _, second = option.partition(".")
    with pytest.raises(ConfigError, match=rf"{name}.*key 'recipe\.{option}': Input should be .*\(found {value}\)"):
        make_recipe(name, build(name), {first: {second: value} if second else value})


@pytest.mark.parametrize("name", ["ddcolor", "ddcolor-tiny", "pix2pix-resnet18", "multicolor"])
def test_absent_encoder_weights_are_named(name: str) -> None:
    small = {"pix2pix-resnet18": {}}.get(name, {"backbone_options": {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}})
    config = load_config(name)
    with pytest.raises(BenchError, match=r"are not here.*recipe\.encoder=random"):
        make_recipe(name, build(name, **small), config.recipe)


@pytest.mark.parametrize("name", MINIS)
def test_a_step_asks_the_device_for_no_value(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading one has the host wait for the device. Meta tensors have none to read: whatever asks, raises."""
    monkeypatch.setattr(torch, "autocast", lambda *_args, **_options: nullcontext())  # there is none for meta
    every_term = {"ddcolor-mini": "adversarial", "multicolor-mini": "adversarial", "iizuka-mini": "classification"}
    config = load_config(name, [f"recipe.losses.{every_term[name]}=1"] if name in every_term else [])
    recipe = make_recipe(name, build(name), config.recipe)
    for network in recipe.networks.values():
        network.to("meta")
    here = batch(128, count=2)
    meta = [getattr(here, part).to("meta") for part in ("rgb", "lightness", "ab", "labels", "seeds")]
    for step in (0, config.steps):
        assert list(recipe.phases(Batch(*meta, step, here.seeds)))


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
