"""A training run -> a file of weights that ``bench run --weights`` reads, or an ONNX graph."""

from __future__ import annotations

import importlib.util
import io
import json
import re
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

from bench.cache import write_atomically
from bench.colorizer import Colorizer
from bench.errors import ConfigError, WeightsError
from bench.training.checkpoint import Checkpoints, load
from bench.training.config import TrainConfig
from bench.training.validation import inference_model

Which = Literal["best", "last"]
_OPSET = 18


def export(run: Path, to: Path, which: Which = "best", half: bool = False, size: int | None = None) -> Path:
    """Write the weights of a run, folded for inference: the average, if the run kept one.

    The same checkpoint makes the same bytes. The metadata holds ``training``, a JSON object: the step, the versions of
    the code that took part, and the whole configuration, but of its paths the last name only, since weights travel.

    Args:
        run: folder of the run, or one of its checkpoints.
        to: ``.safetensors`` or ``.onnx``; the suffix decides.
        which: the best checkpoint by the run's validation (the last one if there was none), or the last.
        half: 16 bits for each weight (safetensors only).
        size: side of the image that the ONNX graph takes; None = the model's working size.

    Raises:
        WeightsError: there is no checkpoint, or it is damaged.
        ConfigError: another suffix, an option that its form does not know, or a model that has no ONNX form.
    """
    if to.suffix not in (".safetensors", ".onnx"):
        raise ConfigError(f"{to} has another suffix than .safetensors or .onnx: which of the two should it be?")
    if half and to.suffix == ".onnx":
        raise ConfigError(f"--half is for .safetensors alone; {to} would have weights of 32 bits.")
    if size and to.suffix == ".safetensors":
        raise ConfigError(f"--size is for .onnx alone; the weights in {to} are for images of any size.")
    content = load(find_checkpoint(run, which))
    config = TrainConfig.model_validate_json(content["config"])
    state = content["average"] or content["networks"]["model"]
    model = inference_model(config, state, f"step {content['step']}")
    facts = {"step": content["step"], "code": content.get("code"), "config": _without_folders(config).model_dump()}
    # One entry: safetensors writes several in any order.
    metadata = {"training": json.dumps(facts, sort_keys=True)}
    data = _onnx(config.model, model, size, metadata) if to.suffix == ".onnx" else _safetensors(model, half, metadata)
    write_atomically(to, data)
    return to


def find_checkpoint(run: Path, which: Which) -> Path:
    """Raises WeightsError if ``run`` is neither a checkpoint nor a folder with some."""
    if run.is_file():
        return run
    checkpoints = Checkpoints(run / "checkpoints", keep=1)
    if which == "best" and checkpoints.best.is_file():
        return checkpoints.best
    newest = next(checkpoints.paths(), None)
    if newest is None:
        raise WeightsError(f"{run} holds no checkpoint. Expected the folder (--out) of a training run.")
    return newest


def _without_folders(config: TrainConfig) -> TrainConfig:
    """With the last name in the place of every path."""

    def bare(path: str | None) -> str | None:
        return path and re.split(r"[/\\]", path.rstrip("/\\"))[-1]

    data = config.data.model_copy(update={"path": bare(config.data.path)})
    validation = config.validation.model_copy(update={"dataset": bare(config.validation.dataset)})
    changes = {"model": bare(config.model), "start_from": bare(config.start_from), "data": data}
    return config.model_copy(update=changes | {"validation": validation})


def _safetensors(model: Colorizer, half: bool, metadata: dict[str, str]) -> bytes:
    def stored(tensor: Tensor) -> Tensor:
        return (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous().clone()

    return save({key: stored(tensor) for key, tensor in model.state_dict().items()}, metadata=metadata)


class _LightnessToChroma(nn.Module):
    """The model with nothing but the graph's input and output."""

    def __init__(self, model: Colorizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, lightness: Tensor) -> Tensor:
        return self.model(lightness)


def _onnx(name: str, model: Colorizer, size: int | None, metadata: dict[str, str]) -> bytes:
    if model.stochastic:
        raise ConfigError(f"{name} draws its colours in many steps, which is no ONNX graph. Use safetensors.")
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise ConfigError("ONNX needs two more packages: pip install 'colorization-bench[onnx]'.")
    side = size or model.working_size or 256
    if side % model.stride:
        raise ConfigError(f"{name} takes sides that are multiples of {model.stride}, not {side}.")
    example = torch.linspace(0, 100, 2 * side * side).view(2, 1, side, side)
    program: Any = torch.onnx.export(
        _LightnessToChroma(model).eval(),
        (example,),
        input_names=["lightness"],
        output_names=["ab"],
        opset_version=_OPSET,
        dynamo=True,
        dynamic_shapes={"lightness": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    program.model.metadata_props.update(metadata)
    buffer = io.BytesIO()
    import onnx

    graph = program.model_proto
    for node in [*graph.graph.node, *(node for function in graph.functions for node in function.node)]:
        node.ClearField("metadata_props")  # where in the source it comes from, with the folders of this machine
    onnx.save_model(graph, buffer)
    return buffer.getvalue()
