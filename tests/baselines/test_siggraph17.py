from __future__ import annotations

import numpy as np
import pytest
import torch
from filled import GOLDENS, fan_in_state, generator
from torch import Tensor

from baselines.siggraph17 import SIGGRAPH17, siggraph17, siggraph17_mini
from bench.colorizer import Hints, predict_chroma
from bench.errors import HintsError, WeightsError

SIDE = 256


def golden_lightness() -> Tensor:
    return torch.from_numpy(generator("input").uniform(0, 100, size=(1, 1, SIDE, SIDE)).astype(np.float32))


def golden_hints() -> Hints:
    mask = (generator("hint_mask").uniform(0, 1, size=(1, 1, SIDE, SIDE)) > 0.98).astype(np.float32)
    ab = generator("hint_ab").uniform(-60, 60, size=(1, 2, SIDE, SIDE)).astype(np.float32) * mask
    return Hints(torch.from_numpy(ab), torch.from_numpy(mask))


@pytest.fixture(scope="module")
def official() -> SIGGRAPH17:
    model = siggraph17()
    model.load_weights(fan_in_state("siggraph17"))
    model.prepare_for_inference()
    return model


def assert_agrees(output: Tensor, golden: np.lib.npyio.NpzFile) -> None:
    assert tuple(golden["shape"]) == tuple(output.shape)
    assert np.abs(output[:, :, ::4, ::4].numpy() - golden["output_sub"]).max() < 1e-3
    stats = [output.mean(), output.std(correction=0), output.min(), output.max()]
    np.testing.assert_allclose(stats, golden["output_stats"], atol=1e-3)


@torch.inference_mode()
def test_agrees_with_the_official_network_without_hints(official: SIGGRAPH17) -> None:
    assert_agrees(official(golden_lightness()), np.load(GOLDENS / "siggraph17.npz"))


@torch.inference_mode()
def test_agrees_with_the_official_network_with_hints(official: SIGGRAPH17) -> None:
    golden = np.load(GOLDENS / "siggraph17_hints.npz")
    features = official.features(golden_lightness(), golden_hints())
    assert_agrees(official.regress(features), golden)
    classes = official.classify(features)
    assert classes.shape == (1, 529, 64, 64)
    assert np.abs(classes[:, :, ::8, ::8].numpy() - golden["class_logits_sub"]).max() < 1e-3


def test_state_dict_and_parameters_are_the_official_ones(official: SIGGRAPH17) -> None:
    expected = {key: tensor.shape for key, tensor in fan_in_state("siggraph17").items()}
    assert {key: tensor.shape for key, tensor in official.state_dict().items()} == expected
    assert sum(p.numel() for p in official.parameters()) == 34_187_027


def test_files_older_than_the_batch_counter_load_and_others_do_not() -> None:
    state = fan_in_state("siggraph17")
    model = SIGGRAPH17()
    model.load_weights({key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")})
    assert torch.equal(model.state_dict()["model_out.0.weight"], state["model_out.0.weight"])
    state.pop("model_class.0.bias")
    with pytest.raises(WeightsError, match=r"model_class\.0\.bias"):
        model.load_weights(state)


@pytest.fixture
def mini() -> SIGGRAPH17:
    torch.manual_seed(0)
    return siggraph17_mini().eval()


def test_the_decoder_runs_once_and_the_class_head_not_at_all(mini: SIGGRAPH17) -> None:
    calls: list[str] = []
    for name in ("model8up", "model9up", "model10", "model_out", "model_class"):
        getattr(mini, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    mini(torch.zeros(1, 1, 32, 32))
    assert calls == ["model8up", "model9up", "model10", "model_out"]


@torch.inference_mode()
def test_an_empty_mask_equals_no_hints_and_a_hint_changes_colour(mini: SIGGRAPH17) -> None:
    lightness = torch.rand(2, 1, 32, 48) * 100
    empty = Hints(torch.zeros(2, 2, 32, 48), torch.zeros(2, 1, 32, 48))
    automatic = mini(lightness)
    assert torch.equal(mini(lightness, empty), automatic)
    empty.ab[:, :, 10:16, 10:16], empty.mask[:, :, 10:16, 10:16] = 50, 1
    assert not torch.allclose(mini(lightness, empty), automatic)


@torch.inference_mode()
def test_hints_follow_the_photo_to_the_working_size(mini: SIGGRAPH17) -> None:
    hints = Hints(torch.zeros(1, 2, 200, 300), torch.zeros(1, 1, 200, 300))
    assert predict_chroma(mini, torch.full((1, 1, 200, 300), 50.0), hints).shape == (1, 2, 200, 300)


@pytest.mark.parametrize("shape", [(1, 32, 40), (2, 32, 32)])
def test_hints_of_another_shape_are_refused(mini: SIGGRAPH17, shape: tuple[int, int, int]) -> None:
    batch, height, width = shape
    hints = Hints(torch.zeros(batch, 2, height, width), torch.zeros(batch, 1, height, width))
    with pytest.raises(HintsError, match="do not fit"):
        mini(torch.zeros(1, 1, 32, 32), hints)


def test_detached_features_leave_the_trunk_to_the_other_head() -> None:
    model = siggraph17_mini().train()
    features = model.features(torch.rand(2, 1, 32, 32) * 100)
    model.regress(features.detach()).abs().mean().backward()
    assert model.model1[0].weight.grad is None
    assert model.model9up[0].weight.grad is not None
    model.classify(features).logsumexp(dim=1).mean().backward()
    assert model.model1[0].weight.grad is not None
    assert bool(model.model1[0].weight.grad.isfinite().all())
