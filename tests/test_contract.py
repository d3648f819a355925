"""What every registered model keeps, whoever wrote it. A model that is registered is tested here without further ado.

Small models are tested in full. Of those at full size one network is built and run forward once, on one small image.
"""

from __future__ import annotations

import copy
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.colorizer import Colorizer, Hints, predict_chroma
from bench.efficiency import multiply_accumulates
from bench.errors import HintsError, WeightsError
from bench.hints import dense_hints
from bench.registry import ModelCard, Weights, build, card_of, model_names
from bench.weights import locate

# Samplers: fewer steps than anybody would want, the contract is the same.
OPTIONS: dict[str, dict[str, Any]] = {"lab-diffusion": {"steps": 2}, "lab-diffusion-mini": {"steps": 4}}

SMALL = [name for name in model_names() if name.endswith("-mini") or card_of(name).family == "reference"]
TRAINABLE = [name for name in SMALL if card_of(name).trainable]
LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in model_names() if name not in SMALL]


@dataclass(frozen=True)
class Subject:
    name: str
    card: ModelCard
    model: Colorizer
    parameters: int  # before anything was folded

    @property
    def side(self) -> int:
        """The smallest side of 64 pixels or more that the model takes."""
        return -(-64 // self.model.stride) * self.model.stride


def make(name: str, seed: int = 0) -> Colorizer:
    torch.manual_seed(seed)
    return build(name, **OPTIONS.get(name, {}))


@pytest.fixture(scope="module", params=[*SMALL, *LARGE])
def subject(request: pytest.FixtureRequest) -> Subject:
    """One network at a time: pytest groups the tests by it and drops it before it makes the next."""
    model = make(request.param)
    parameters = sum(p.numel() for p in model.parameters())
    return Subject(request.param, card_of(request.param), model.prepare_for_inference(), parameters)


small = pytest.mark.parametrize("subject", SMALL, indirect=True)
trainable = pytest.mark.parametrize("subject", TRAINABLE, indirect=True)


def images(count: int, height: int, width: int) -> Tensor:
    """Noise, so that no two images or places are alike."""
    return torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(height + width)) * 100


def colours(model: Colorizer, lightness: Tensor, seed: int = 0) -> Tensor:
    """Run the model with all that it needs: a generator per image, and the original's chroma for a ceiling."""
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(lightness))]
    hints = dense_hints(torch.cat((lightness - 50, 50 - lightness), dim=1)) if model.needs_target else None
    return model(lightness, hints, generators if model.stochastic else None)


def assert_is_chroma(ab: Tensor, lightness: Tensor) -> None:
    assert ab.shape == (len(lightness), 2, *lightness.shape[-2:])
    assert ab.dtype == torch.float32
    assert bool(ab.isfinite().all())
    assert ab.abs().max() < 1000  # sRGB ends at 108; untrained networks may overshoot, but not explode


def assert_same(found: Tensor, expected: Tensor) -> None:
    """Equal to 1e-4, or to what float32 leaves of the large chroma of some untrained networks."""
    assert (found - expected).abs().max() < max(1e-4, 1e-5 * float(expected.abs().max()))


@torch.inference_mode()
def test_lightness_in_chroma_out(subject: Subject) -> None:
    lightness = images(1, subject.side, subject.side)
    assert_is_chroma(colours(subject.model, lightness), lightness)


def test_the_card_describes_the_network(subject: Subject) -> None:
    card, model = subject.card, subject.model
    assert card.name == subject.name
    assert card.title not in ("", card.name)
    assert card.family
    assert card.licence != "unknown" or "licence" in card.note  # a lack of one has to be said
    assert card.parameters == subject.parameters
    assert card.working_size == model.working_size
    assert card.hints == model.accepts_hints
    assert card.stochastic == model.stochastic
    assert card.trainable == (subject.parameters > 0)
    if card.trainable:
        assert card.year is not None
        assert card.paper or card.repository
    if model.working_size is not None:
        assert model.working_size % model.stride == 0
    for weights in card.weights:
        assert weights.licence != "unknown" or "licence" in weights.note, weights.name


def test_the_card_counts_multiply_accumulates_as_runs_do(subject: Subject) -> None:
    if subject.name in OPTIONS:
        # A sampler repeats itself: what a step adds tells the rest.
        one, two = (multiply_accumulates(build(subject.name, steps=n), torch.device("cpu"), 256) for n in (1, 2))
        counted = one + (build(subject.name).process.steps - 1) * (two - one)
    else:
        # Large networks are not computed: shapes are enough.
        device = torch.device("cpu" if subject.name in SMALL else "meta")
        counted = multiply_accumulates(copy.deepcopy(subject.model).to(device), device, 256)
    assert counted == subject.card.macs


PLACEHOLDER = re.compile(r"\b(todo|tbd|tba|fixme|xxx|placeholder|lorem|to be (written|done|trained))\b|\.\.\.|…", re.I)


@pytest.mark.parametrize("name", model_names())
def test_weights_of_our_own_say_how_they_were_made(name: str) -> None:
    for weights in card_of(name).weights:
        if weights.origin == "trained here":
            assert len(weights.note.split()) >= 8, f"{weights.name}: data, steps, seed and time belong into the note"
            assert not PLACEHOLDER.search(weights.note), weights.note


@pytest.mark.parametrize("name", model_names())
def test_shipped_weights_are_the_files_of_their_digests(name: str) -> None:
    for weights in card_of(name).weights:
        if weights.shipped:
            content = locate(weights, name).read_bytes()
            assert weights.sha256 == hashlib.sha256(content).hexdigest()
            assert weights.bytes == len(content)


def test_these_tests_see_the_weights_that_are_shipped() -> None:
    """Every file beside the models' modules has its card."""
    folders = {locate(Weights("any", "any"), name).parent for name in model_names()}
    files = {path for folder in folders for path in folder.glob("*.safetensors")}
    assert files
    assert files == {locate(w, name) for name in model_names() for w in card_of(name).weights if w.shipped}


@torch.inference_mode()
def test_hints_are_honoured_or_refused(subject: Subject) -> None:
    lightness = images(1, subject.side, subject.side)
    mask = torch.ones_like(lightness)
    orange = Hints(torch.tensor([40.0, 60.0]).view(1, 2, 1, 1) * mask, mask)
    if subject.model.accepts_hints:
        hinted = subject.model(lightness, orange)
        assert_is_chroma(hinted, lightness)
        assert subject.model.needs_target or not torch.equal(hinted, colours(subject.model, lightness))
    else:
        with pytest.raises(HintsError, match="takes no colour hints"):
            subject.model(lightness, orange)


@small
@torch.inference_mode()
def test_sides_may_be_any_multiples_of_the_stride(subject: Subject) -> None:
    side, stride = subject.side, subject.model.stride
    for height, width in ((side, side + stride), (2 * side, side)):
        lightness = images(1, height, width)
        assert_is_chroma(colours(subject.model, lightness), lightness)


@small
@torch.inference_mode()
def test_photos_of_any_size_are_coloured_at_the_working_size(subject: Subject) -> None:
    lightness = images(1, 50, 75)
    hints = dense_hints(lightness.repeat(1, 2, 1, 1)) if subject.model.needs_target else None
    generator = torch.Generator().manual_seed(0)
    assert_is_chroma(predict_chroma(subject.model, lightness, hints, generator), lightness)


@small
@torch.inference_mode()
def test_black_and_white_are_images_too(subject: Subject) -> None:
    flat = torch.tensor([0.0, 100.0]).view(2, 1, 1, 1).expand(2, 1, subject.side, subject.side)
    assert_is_chroma(colours(subject.model, flat), flat)


@small
@torch.inference_mode()
def test_the_same_seed_gives_the_same_colours(subject: Subject) -> None:
    lightness = images(1, subject.side, subject.side)
    first = colours(subject.model, lightness, seed=1)
    torch.manual_seed(99)  # nothing may depend on the global generator
    assert torch.equal(colours(subject.model, lightness, seed=1), first)
    assert torch.equal(colours(subject.model, lightness, seed=2), first) != subject.model.stochastic


@small
@torch.inference_mode()
def test_batch_size_changes_nothing(subject: Subject) -> None:
    lightness = images(2, subject.side, subject.side)
    together = colours(subject.model, lightness)
    for i in range(2):
        alone = colours(subject.model, lightness[i : i + 1], seed=i)
        assert_same(alone[0], together[i])


@trainable
def test_gradients_are_finite_and_not_all_zero(subject: Subject) -> None:
    model = make(subject.name).train()
    colours(model, images(2, subject.side, subject.side)).abs().mean().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


def saved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Through a file and back."""
    file = io.BytesIO()
    torch.save(dict(state), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@small
@torch.inference_mode()
def test_saved_weights_give_the_same_colours_before_and_after_folding(subject: Subject) -> None:
    lightness = images(1, subject.side, subject.side)
    source = make(subject.name, seed=1).eval()
    expected = colours(source, lightness)
    if subject.parameters:
        assert not torch.allclose(expected, colours(subject.model, lightness))
    for seed in (2, 3):
        copy = make(subject.name, seed)
        copy.load_weights(saved(source.state_dict()))
        source = copy.prepare_for_inference()
        assert_same(colours(source, lightness), expected)


@trainable
def test_weights_of_another_network_are_refused_by_key(subject: Subject) -> None:
    model = make(subject.name)
    key, tensor = next((k, t) for k, t in model.state_dict().items() if t.ndim > 1)
    state = saved(model.state_dict())
    for wrong in (
        {k: t for k, t in state.items() if k != key},
        state | {key: torch.zeros(*tensor.shape, 2)},
    ):
        with pytest.raises(WeightsError, match=key.replace(".", r"\.")):
            model.load_weights(wrong)
    with pytest.raises(WeightsError, match="a_surprise"):
        model.load_weights(state | {"a_surprise": torch.zeros(1)})
