"""A network with the weights that were asked for, and a record of where they came from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from server import PAYLOAD, SHA256, assert_same, net_state, saved

from bench import load_model
from bench.errors import BenchError, ConfigError, UnknownNameError, WeightsError
from bench.loading import check_weights
from bench.processes import pick_device
from bench.registry import Weights, card_of
from bench.weights import locate

pytestmark = pytest.mark.usefixtures("cache")

NET = """
import torch
from bench.colorizer import Colorizer
from bench.registry import ModelCard, Weights

CARDS = (
    ModelCard(name="Net", family="test", title="Net", weights=(
        Weights(name="first", file="first.pth", url="http://127.0.0.1:9/first.pth", sha256="{sha256}", bytes=2_000_000),
        Weights(name="mine", file="mine.safetensors", origin="trained here"),
    )),
)

class Net(Colorizer):
    def __init__(self, width=2):
        super().__init__()
        self.mix = torch.nn.Conv2d(1, width, 1)
        self.norm = torch.nn.BatchNorm2d(width)

class Wrapped(Colorizer):
    def __init__(self):
        super().__init__()
        self.model = torch.nn.Conv2d(1, 2, 1)
"""


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET.replace("{sha256}", SHA256[:8]), encoding="utf-8")
    return f"{tmp_path / 'net.py'}:Net"


def test_load_default_weights_from_the_cache(net: str) -> None:
    with pytest.raises(WeightsError, match=r"`bench weights fetch .*` brings it"):
        check_weights(card_of(net))
    with pytest.raises(WeightsError, match=r"first\.pth .*`bench weights fetch .*` brings it \(2 MB\), or put it into"):
        load_model(net)
    (status,) = (locate(w, net) for w in [Weights(name="first", file="first.pth", url="x")])
    status.parent.mkdir(parents=True)
    status.write_bytes(PAYLOAD)
    check_weights(card_of(net))
    model = load_model(net, device="cpu")
    provenance = model.provenance
    assert provenance is not None
    assert (provenance.name, provenance.source) == ("first", "official")
    assert (provenance.file, provenance.sha256) == ("first.pth", SHA256)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    status.write_bytes(saved(net_state(2.0)))
    with pytest.raises(WeightsError, match=rf"is not the file.*expected {SHA256[:8]}"):
        load_model(net)


def test_load_shipped_weights(net: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="ships with the package, is missing"):
        load_model(net, "mine")
    (tmp_path / "weights").mkdir()
    save_file(net_state(3.0), tmp_path / "weights/mine.safetensors")
    model = load_model(net, "mine", "cpu")
    assert model.provenance is not None
    assert (model.provenance.name, model.provenance.source) == ("mine", "shipped")
    assert model.state_dict()["mix.weight"].flatten().tolist() == [3.0, 3.0]


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
def test_load_a_file(net: str, tmp_path: Path, prefix: str) -> None:
    (tmp_path / "own.pth").write_bytes(saved({prefix + k: v for k, v in net_state(5.0).items()}))
    model = load_model(net, tmp_path / "own.pth", "cpu")
    assert model.provenance is not None
    assert (model.provenance.name, model.provenance.source) == ("own.pth", "file")
    assert model.provenance.sha256 == hashlib.sha256((tmp_path / "own.pth").read_bytes()).hexdigest()
    assert model.state_dict()["mix.weight"].flatten().tolist() == [5.0, 5.0]


def test_load_keeps_a_prefix_that_is_the_networks_own(net: str, tmp_path: Path) -> None:
    state = {"model.weight": torch.full((2, 1, 1, 1), 7.0), "model.bias": torch.zeros(2)}
    (tmp_path / "own.pth").write_bytes(saved(state))
    model = load_model(net.replace(":Net", ":Wrapped"), tmp_path / "own.pth", "cpu")
    assert_same(dict(model.state_dict()), state)


def test_load_is_strict_and_leaves_old_counters_out(net: str, tmp_path: Path) -> None:
    state = net_state()
    del state["norm.num_batches_tracked"]
    (tmp_path / "old.pth").write_bytes(saved(state))
    load_model(net, tmp_path / "old.pth")
    del state["mix.bias"]
    state |= {"mix.weight": torch.ones(2, 3, 1, 1), **{f"extra{i}": torch.ones(1) for i in range(10)}}
    (tmp_path / "other.pth").write_bytes(saved(state))
    with pytest.raises(WeightsError) as caught:
        load_model(net, tmp_path / "other.pth")
    for needed in (
        "other.pth",
        "1 keys missing (mix.bias)",
        "10 unexpected (extra0",
        "extra7, ...",
        "(2, 3, 1, 1) instead",
    ):
        assert needed in str(caught.value)
    assert "extra8" not in str(caught.value)


def test_load_passes_options_and_marks_random_weights(net: str) -> None:
    model = load_model(net, "random", width=5)
    assert model.state_dict()["mix.weight"].shape[0] == 5
    assert model.provenance is not None
    assert (model.provenance.source, model.provenance.sha256) == ("random", "none")
    assert (model.provenance.model, model.provenance.options) == (net, {"width": 5})


def test_load_gray_needs_nothing() -> None:
    for weights in (None, "random"):
        provenance = load_model("gray", weights).provenance
        assert provenance is not None
        assert provenance.source == "none"


def test_load_says_what_is_wrong_with_the_request(net: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean first"):
        load_model(net, "frist")
    with pytest.raises(WeightsError, match=r"absent\.pth does not exist"):
        load_model(net, "absent.pth")
    with pytest.raises(WeightsError, match="--weights random"):
        load_model(net.replace(":Net", ":Wrapped"))
    with pytest.raises(UnknownNameError, match="ddcolor"):
        load_model("dcolor")
    with pytest.raises(ConfigError, match=r"no device 'gpu'.*cpu"):
        load_model(net, "random", device="gpu")
    assert issubclass(WeightsError, BenchError)


def test_pick_device_prefers_what_is_there() -> None:
    fastest = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert pick_device().type == fastest
    assert pick_device("cpu") == torch.device("cpu")
