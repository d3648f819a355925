"""Losses, schedules, averages, rebalancing, guard, checkpoints: each against something independent."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch import nn
from torchvision.models import vgg16_bn

from bench.errors import WeightsError
from bench.gamut import in_gamut_bins
from bench.metrics.colourfulness import Colourfulness
from bench.training.checkpoint import Checkpoints, load
from bench.training.config import OptimizerConfig, ScheduleConfig
from bench.training.ema import Average
from bench.training.guard import DivergenceError, Guard
from bench.training.logs import Logs, read_metrics
from bench.training.losses import PerceptualLoss, adversarial, colourfulness
from bench.training.rebalancing import ColourPrior
from bench.training.schedules import factor, make_optimizer, set_rates


def test_colourfulness_is_the_measured_one_over_255() -> None:
    image = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None]
    measured = Colourfulness().measure(image, image)["cf"].item()
    assert colourfulness(image.float() / 255).item() * 255 == pytest.approx(measured, rel=1e-4)


def test_the_gradient_of_colourfulness_is_finite_on_gray() -> None:
    rgb = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    colourfulness(rgb).sum().backward()
    assert rgb.grad is not None
    assert bool(rgb.grad.isfinite().all())


def test_adversarial_is_binary_cross_entropy() -> None:
    logits = torch.tensor([0.3, -1.2])
    p = torch.sigmoid(logits).double()
    assert adversarial(logits, real=True).item() == pytest.approx(-p.log().mean().item())
    assert adversarial(logits, real=False).item() == pytest.approx(-(1 - p).log().mean().item())
    smooth = -(0.9 * p.log() + 0.1 * (1 - p).log()).mean().item()
    assert adversarial(logits, real=True, label=0.9).item() == pytest.approx(smooth)


@pytest.mark.slow
def test_perceptual_loss_compares_the_convolutions_before_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = vgg16_bn(weights=None).eval()
    monkeypatch.setattr("bench.training.losses.read_backbone", lambda name: network.state_dict())
    loss = PerceptualLoss()
    a, b = torch.rand(2, 1, 3, 32, 32)
    a.requires_grad_(True)
    convolutions = [m for m in network.features if isinstance(m, nn.Conv2d)]
    firsts = [convolutions[i] for i in (0, 2, 4, 7, 10)]  # the first of each stage of 2, 2, 3, 3, 3
    seen: list[torch.Tensor] = []
    for conv in firsts:
        conv.register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    for image in (a, b):
        network((image - mean) / std)
    weights = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
    pairs = zip(weights, seen[:5], seen[5:], strict=True)
    expected = sum(w * (x - y).abs().mean().item() for w, x, y in pairs)
    found = loss(a, b)
    assert found.item() == pytest.approx(expected, rel=1e-4)
    found.backward()
    assert a.grad is not None
    assert a.grad.abs().sum() > 0
    assert all(p.grad is None for p in loss.parameters())


def test_schedules() -> None:
    steps = ScheduleConfig(kind="steps", milestones=(80, 120), gamma=0.5)
    assert [factor(steps, s, 400) for s in (0, 79, 80, 119, 120, 399)] == [1, 1, 0.5, 0.5, 0.25, 0.25]
    linear = ScheduleConfig(kind="linear", start=0.5)
    assert [factor(linear, s, 200) for s in (0, 100, 150, 190)] == pytest.approx([1, 1, 0.5, 0.1])
    cosine = ScheduleConfig(kind="cosine", floor=0.1)
    assert [factor(cosine, s, 100) for s in (0, 50, 100)] == pytest.approx([1, 0.55, 0.1])
    warm = ScheduleConfig(warmup=4)
    assert [factor(warm, s, 100) for s in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_rates_are_set_from_the_base_even_after_loading() -> None:
    parameter = nn.Parameter(torch.ones(1))
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    optimizer = make_optimizer(OptimizerConfig(kind="adamw", lr=0.1, weight_decay=0.5), [parameter, frozen])
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]
    set_rates([optimizer], 0.5)
    other = make_optimizer(OptimizerConfig(kind="adamw", lr=0.1, weight_decay=0.5), [parameter])
    other.load_state_dict(optimizer.state_dict())
    set_rates([other], 0.25)
    assert other.param_groups[0]["lr"] == pytest.approx(0.025)


def test_the_average_is_the_recursion() -> None:
    network = nn.BatchNorm1d(2)
    average = Average(network, decay=0.5)
    expected = network.weight.detach().clone()
    for t in range(1, 6):
        with torch.no_grad():
            network.weight.add_(t)
        network.num_batches_tracked.add_(1)
        average.update()
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * network.weight.detach()
    assert torch.allclose(average.state["weight"], expected)
    assert average.state["num_batches_tracked"] == 5


def test_rebalancing_is_that_of_the_paper(tmp_path: Path) -> None:
    bins = in_gamut_bins()
    prior = np.random.default_rng(0).dirichlet(np.full(313, 0.3))
    np.save(tmp_path / "prior.npy", prior)
    weights = ColourPrior(bins, 0.5, str(tmp_path / "prior.npy")).weights().double().numpy()
    expected = 1 / (0.5 * prior + 0.5 / 313)
    np.testing.assert_allclose(weights, expected / (prior * expected).sum(), rtol=1e-5)
    assert (prior * weights).sum() == pytest.approx(1)
    flat = ColourPrior(bins, 1.0, str(tmp_path / "prior.npy")).weights()
    assert torch.allclose(flat, torch.ones(313))


def test_a_running_prior_learns_what_is_common() -> None:
    prior = ColourPrior(in_gamut_bins(), 0.5)
    assert torch.allclose(prior.weights(), torch.ones(313), atol=0.2)
    prior.count(torch.full((1000, 1000), 120))  # (0, 0)
    weights = prior.weights()
    assert weights.argmin() == 120
    assert weights[120] < 1 < weights.max()
    fixed = prior.counts.clone()
    prior.running = False
    prior.count(torch.zeros(5, dtype=torch.long))
    assert torch.equal(prior.counts, fixed)
    with pytest.raises(WeightsError, match="recipe.prior=running"):
        ColourPrior(in_gamut_bins(), 0.5, "nowhere.npy")


def test_the_guard_names_step_term_and_checkpoint() -> None:
    guard = Guard(100)
    for step in range(60):
        guard.check(step, "pixel", 1 + 0.1 * math.sin(step), "a.pt")
    guard.check(60, "pixel", 90.0, "a.pt")
    with pytest.raises(DivergenceError, match=r"step 61: the loss term 'pixel' exploded: 1e\+04.*a\.pt"):
        guard.check(61, "pixel", 1e4, "a.pt")
    with pytest.raises(DivergenceError, match=r"step 62: the loss term 'new' is inf"):
        guard.check(62, "new", math.inf, "a.pt")


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", keep=2)
    for step in (1, 2, 3, 4):
        checkpoints.save(step, {"x": torch.full((2,), float(step))})
        if step == 2:
            checkpoints.mark_best(2)
    assert [path.name for path in checkpoints.paths()] == ["step-00000004.pt", "step-00000003.pt"]
    assert load(checkpoints.best)["step"] == 2
    newest = next(checkpoints.paths())
    newest.write_bytes(newest.read_bytes()[:100])
    found = checkpoints.load_latest()
    assert found is not None
    assert found[0]["step"] == 3
    assert "step-00000004.pt is damaged" in found[1][0]
    assert not list((tmp_path / "c").glob("*.part"))


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (print, ("code",))

    torch.save({"format": 1, "step": 1, "x": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(WeightsError, match="damaged"):
        load(tmp_path / "evil.pt")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="no checkpoint of a training run"):
        load(tmp_path / "weights.pt")


def test_what_was_logged_after_the_checkpoint_is_forgotten(tmp_path: Path) -> None:
    from rich.console import Console
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with open(tmp_path / "screen", "w") as screen:  # noqa: PTH123
        console = Console(file=screen)
        with Logs(tmp_path, 100, 0, tensorboard=True, console=console) as logs:
            for step in (10, 20, 30):
                logs.numbers(step, {"loss/pixel": step / 7})
            gray = torch.full((2, 1, 8, 8), 50.0)
            logs.pictures(30, gray, torch.zeros(2, 2, 8, 8), torch.rand(2, 3, 8, 8))
        with (tmp_path / "metrics.csv").open("a") as file:
            file.write("40,loss/pix")  # cut short by a kill
        with Logs(tmp_path, 100, 20, tensorboard=True, console=console) as logs:
            logs.numbers(25, {"loss/pixel": 1.0})
    rows = read_metrics(tmp_path / "metrics.csv")
    assert rows == [(10, "loss/pixel", 10 / 7), (20, "loss/pixel", 20 / 7), (25, "loss/pixel", 1.0)]
    assert (tmp_path / "pictures" / "step-00000030.png").is_file()
    events = EventAccumulator(str(tmp_path / "tensorboard"), purge_orphaned_data=True).Reload()
    assert [event.step for event in events.Scalars("loss/pixel")] == [10, 20, 25]
