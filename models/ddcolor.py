"""DDColor: photo-realistic image colorization via dual decoders (Kang et al., ICCV 2023, arXiv 2212.11613).

A ConvNeXt encoder feeds a pixel decoder (U-Net, stride 32 -> 1) and a colour decoder (learned colour queries that
attend to the pixel decoder's multi-scale features); each query weights the pixel embedding, and a 1x1 convolution turns
the weighted sums into chroma. With the same weights it agrees with the official repository (piddnad/DDColor, commit
2adb63f) to 1e-4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import timm
import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn
from torch.nn.utils import remove_spectral_norm, spectral_norm

from bench.color import gray_rgb
from bench.colorizer import Colorizer, Generator, Hints
from bench.errors import BenchError
from bench.registry import ModelCard, Weights

CARDS = (
    ModelCard(
        name="ddcolor",
        family="ddcolor",
        title="DDColor (large)",
        year=2023,
        paper="arXiv:2212.11613",
        repository="https://github.com/piddnad/DDColor",
        parameters=227_869_328,
        macs=64_918_743_040,
        licence="Apache-2.0",
        working_size=256,
        weights=(
            Weights(
                name="paper",
                hub="piddnad/ddcolor_paper",
                file="pytorch_model.bin",
                licence="Apache-2.0",
                note="ImageNet at 256; the weights behind the paper's Table 1",
            ),
            Weights(
                name="modelscope",
                hub="piddnad/ddcolor_modelscope",
                file="pytorch_model.bin",
                licence="Apache-2.0",
                note="ImageNet without its 10 % least colourful photographs; default of the official demo",
            ),
            Weights(
                name="artistic",
                hub="piddnad/ddcolor_artistic",
                file="pytorch_model.bin",
                licence="Apache-2.0",
                note="ImageNet and private photographs, without the colourfulness loss",
            ),
        ),
    ),
    ModelCard(
        name="ddcolor-tiny",
        family="ddcolor",
        title="DDColor (tiny)",
        year=2023,
        paper="arXiv:2212.11613",
        repository="https://github.com/piddnad/DDColor",
        parameters=55_006_640,
        macs=23_493_388_288,
        licence="Apache-2.0",
        working_size=256,
        weights=(
            Weights(
                name="paper",
                hub="piddnad/ddcolor_paper_tiny",
                file="pytorch_model.bin",
                licence="Apache-2.0",
                note="ImageNet at 256",
            ),
        ),
    ),
    ModelCard(
        name="ddcolor-mini",
        family="ddcolor",
        title="DDColor (mini)",
        year=2023,
        paper="arXiv:2212.11613",
        repository="https://github.com/piddnad/DDColor",
        parameters=1_291_320,
        macs=93_292_576,
        licence="Apache-2.0",
        working_size=96,
        note="The same architecture at 1/176 of the size, for 96 px and a CPU; not a model of the paper.",
    ),
)

Attention = Literal["cross", "self"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Encoder(nn.Module):
    """A timm backbone whose features at strides 4, 8, 16 and 32 are normalised before the decoders see them."""

    def __init__(self, backbone: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        if backbone.startswith("swin"):
            options = {"strict_img_size": False, **options}
        self.body = timm.create_model(backbone, features_only=True, pretrained=False, **options)
        info: Any = self.body.feature_info
        self.taken = [i for i, stride in enumerate(info.reduction()) if stride in (4, 8, 16, 32)]
        self.channels_last = str(getattr(self.body, "output_fmt", "NCHW")).endswith("NHWC")
        self.channels = [info.channels()[i] for i in self.taken]
        self.norms = nn.ModuleList(LayerNorm2d(c, eps=1e-6) for c in self.channels)
        # The official encoder also normalises its pooled last stage and drops the result; kept so that its files load.
        self.pooled_norm = nn.LayerNorm(self.channels[-1], eps=1e-6).requires_grad_(False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        features = self.body(rgb)
        stages = [features[i].permute(0, 3, 1, 2) if self.channels_last else features[i] for i in self.taken]
        return [norm(stage) for norm, stage in zip(self.norms, stages, strict=True)]


def spectral(conv: nn.Conv2d) -> nn.Conv2d:
    """Legacy spectral norm, as the official checkpoints hold it; its u and v start converged instead of random."""
    spectral_norm(conv, n_power_iterations=15)
    conv.train()(torch.zeros(1, conv.in_channels, *conv.kernel_size))
    for hook in conv._forward_pre_hooks.values():
        hook.n_power_iterations = 1  # type: ignore[attr-defined]
    return conv


def fold_spectral_norm(network: nn.Module) -> None:
    """Replace every spectrally normalised weight in ``network`` by its value, with the stored u and v."""
    for module in network.modules():
        if hasattr(module, "weight_orig"):
            remove_spectral_norm(module)
            module._load_state_dict_pre_hooks.clear()  # torch forgets its own, which then asks for weight_orig


class Shuffle(nn.Module):
    """Upsample by ``scale``: 1x1 convolution, ReLU, pixel shuffle; ``blur`` then hides the checkerboard."""

    def __init__(self, inputs: int, outputs: int, scale: int, norm: bool) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, outputs * scale**2, 1, bias=not norm)
        nn.init.kaiming_normal_(conv.weight)
        with torch.no_grad():  # ICNR: the s*s sub-pixels of a channel start equal
            conv.weight.copy_(conv.weight[:: scale**2].repeat_interleave(scale**2, dim=0))
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
        self.conv = spectral(conv)
        self.norm = nn.BatchNorm2d(outputs * scale**2) if norm else nn.Identity()
        self.scale = scale

    def expand(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs * scale**2, H, W), not yet shuffled."""
        return F.relu(self.norm(self.conv(x)))

    def unfold(self, x: Tensor) -> Tensor:
        """(B, C * scale**2, H, W) -> (B, C, H * scale, W * scale), blurred by a 2x2 mean. Linear in ``x``."""
        return F.avg_pool2d(F.pad(F.pixel_shuffle(x, self.scale), (1, 0, 1, 0), mode="replicate"), 2, stride=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.unfold(self.expand(x))


class UpBlock(nn.Module):
    """One step of the U-Net: upsample by 2, concatenate the encoder's feature, fuse."""

    def __init__(self, inputs: int, skip: int, outputs: int, up: int) -> None:
        super().__init__()
        self.up = Shuffle(inputs, up, scale=2, norm=True)
        self.skip_norm = nn.BatchNorm2d(skip)
        nn.init.constant_(self.skip_norm.bias, 1e-3)
        conv = nn.Conv2d(up + skip, outputs, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        self.conv = spectral(conv)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.relu(torch.cat((self.up(x), self.skip_norm(skip)), dim=1))
        return self.norm(F.relu(self.conv(x)))


class PixelDecoder(nn.Module):
    """Encoder features -> features at strides 16, 8, 4 and an unshuffled embedding of every pixel."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        c4, c8, c16, c32 = channels
        self.blocks = nn.ModuleList(
            (
                UpBlock(c32, c16, width, up=width),
                UpBlock(width, c8, width, up=width),
                UpBlock(width, c4, width // 2, up=width // 2),
            )
        )
        self.channels = {16: width, 8: width, 4: width // 2}
        self.last = Shuffle(width // 2, width // 2, scale=4, norm=False)

    def forward(self, features: Sequence[Tensor]) -> dict[int, Tensor]:
        """Returns {16: ..., 8: ..., 4: ...}, each (B, C, H / stride, W / stride)."""
        *skips, x = features
        maps = {}
        for stride, block, skip in zip((16, 8, 4), self.blocks, reversed(skips), strict=True):
            x = maps[stride] = block(x, skip)
        return maps


class AttentionLayer(nn.Module):
    """Post-norm attention of the queries to the image (cross) or to each other (self)."""

    def __init__(self, dim: int, heads: int, kind: Attention) -> None:
        super().__init__()
        self.kind = kind
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, where: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        query = x + where
        if self.kind == "self":
            keys, values = query, x
        return self.norm(x + self.attention(query, keys, values, need_weights=False)[0])


class FeedForward(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.linear2(F.relu(self.linear1(x))))


class ColorDecoder(nn.Module):
    """Colour queries that attend in turn to the pixel decoder's scales: maps -> (B, queries, dim) colour embeddings."""

    def __init__(
        self,
        channels: Mapping[int, int],
        dim: int,
        queries: int,
        layers: int,
        heads: int,
        feedforward: int,
        order: Sequence[Attention],
    ) -> None:
        super().__init__()
        self.scales = tuple(channels)
        self.query_feat = nn.Embedding(queries, dim)
        self.query_embed = nn.Embedding(queries, dim)
        self.level_embed = nn.Embedding(len(channels), dim)
        self.projections = nn.ModuleList(nn.Conv2d(c, dim, 1) for c in channels.values())
        self.attention = nn.ModuleList(
            nn.ModuleList(AttentionLayer(dim, heads, kind) for kind in order) for _ in range(layers)
        )
        self.feedforward = nn.ModuleList(FeedForward(dim, feedforward) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.color_embed = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)
        )
        for parameter in (*self.attention.parameters(), *self.feedforward.parameters()):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for projection in self.projections.children():
            nn.init.kaiming_uniform_(projection.get_parameter("weight"), a=1)
            nn.init.zeros_(projection.get_parameter("bias"))

    def forward(self, maps: Mapping[int, Tensor]) -> Tensor:
        values, keys = [], []
        for level, scale in enumerate(self.scales):
            feature = self.projections[level](maps[scale]) + self.level_embed.weight[level, :, None, None]
            position = sine_position(feature.shape[1], *feature.shape[-2:], feature.device).to(feature.dtype)
            values.append(feature.flatten(2).transpose(1, 2))  # (B, HW, dim)
            keys.append((feature + position).flatten(2).transpose(1, 2))
        x = self.query_feat.weight.expand(values[0].shape[0], -1, -1)
        for i, (attention, feedforward) in enumerate(zip(self.attention, self.feedforward, strict=True)):
            level = i % len(values)
            for layer in attention.children():
                x = layer(x, self.query_embed.weight, keys[level], values[level])
            x = feedforward(x)
        return self.color_embed(self.norm(x))


@lru_cache(maxsize=32)
def sine_position(dim: int, height: int, width: int, device: torch.device) -> Tensor:
    """2-D sine position embedding (DETR), (dim, height, width): the first half encodes y, the second x."""
    with torch.inference_mode(False):
        half = dim // 2
        index = torch.arange(half, device=device) // 2 * 2
        frequency = 10000 ** (index / half)
        parts = []
        for length, spread in ((height, (-1, width)), (width, (height, -1))):
            where = torch.arange(1, length + 1, device=device) / (length + 1e-6) * 2 * math.pi
            angle = where / frequency[:, None]  # (half, length)
            wave = torch.where(torch.arange(half, device=device)[:, None] % 2 == 0, angle.sin(), angle.cos())
            wave = wave[:, :, None] if spread[0] == -1 else wave[:, None, :]
            parts.append(wave.expand(half, height, width))
        return torch.cat(parts)


class DDColor(Colorizer):
    """The dual-decoder network; every switch of the paper's ablations is an argument.

    Args:
        backbone: timm name (``convnext_{tiny,small,base,large}``, ``resnet50``, ``swin_tiny_patch4_window7_224``, ...).
        color_decoder: False leaves the pixel decoder alone (Table 3a of the paper).
        scales: strides of the features the colour queries attend to, in the order of the layers.
        queries, layers: of the colour decoder.
        block_order: attention blocks within one layer.
        width: channels of the pixel decoder; its embedding and the queries have half of them.
        heads, feedforward: of the colour decoder.
        working_size: side the weights were trained at.
        backbone_options: further arguments of the timm backbone.
    """

    stride = 32
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str = "convnext_large",
        color_decoder: bool = True,
        scales: Sequence[int] = (16, 8, 4),
        queries: int = 100,
        layers: int = 9,
        block_order: Sequence[Attention] = ("cross", "self"),
        width: int = 512,
        heads: int = 8,
        feedforward: int = 2048,
        working_size: int = 256,
        backbone_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not scales or set(scales) - {16, 8, 4}:
            raise ValueError(f"scales must be a non-empty selection of 16, 8 and 4, not {scales}")
        if not block_order or set(block_order) - {"cross", "self"}:
            raise ValueError(f"block_order must name cross and self blocks, not {block_order}")
        self.working_size = working_size
        self.encoder = Encoder(backbone, backbone_options or {})
        self.pixel_decoder = PixelDecoder(self.encoder.channels, width)
        self.color_decoder = None
        if color_decoder:
            channels = {scale: self.pixel_decoder.channels[scale] for scale in scales}
            self.color_decoder = ColorDecoder(channels, width // 2, queries, layers, heads, feedforward, block_order)
        self.refine = spectral(nn.Conv2d((queries if color_decoder else width // 2) + 3, 2, 1))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, lightness: Tensor, hints: Hints | None = None, generator: Generator | None = None) -> Tensor:
        self.refuse_hints(hints)
        rgb = (gray_rgb(lightness) - self.mean) / self.std
        maps = self.pixel_decoder(self.encoder(rgb))
        # The paper forms one map per query, (B, queries, H, W), and mixes them with a 1x1 convolution. Mixing,
        # shuffling and blurring are linear: mixing the queries first gives the same chroma at 1/50 of the memory.
        weight = self._refine_weight()
        mixture = weight[:, :-3].expand(rgb.shape[0], -1, -1)
        if self.color_decoder is not None:
            mixture = mixture @ self.color_decoder(maps)  # (B, 2, width / 2)
        last = self.pixel_decoder.last
        subpixels = last.expand(maps[4]).unflatten(1, (-1, last.scale**2))  # (B, width / 2, 16, H / 4, W / 4)
        chroma = last.unfold(torch.einsum("bkc,bcshw->bkshw", mixture, subpixels).flatten(1, 2))
        return chroma + F.conv2d(rgb, weight[:, -3:, None, None], self.refine.bias)

    def query_maps(self, lightness: Tensor) -> tuple[Tensor, Tensor]:
        """What each colour query does, as the paper forms it: one map each, and how ``refine`` mixes them into chroma.

        Args:
            lightness: (B, 1, H, W) L*, as for ``forward``.

        Returns:
            (B, queries, H, W) dot products of colour and pixel embeddings, and (2, queries) weights of a* and b*.
            Their mixture, plus a 1x1 convolution of the input, is the chroma that ``forward`` predicts.

        Raises:
            BenchError: the network has no colour decoder.
        """
        if self.color_decoder is None:
            raise BenchError("this DDColor has no colour decoder (color_decoder=False), so it has no queries.")
        maps = self.pixel_decoder(self.encoder((gray_rgb(lightness) - self.mean) / self.std))
        pixels = self.pixel_decoder.last(maps[4])
        return torch.einsum("bqc,bchw->bqhw", self.color_decoder(maps), pixels), self._refine_weight()[:, :-3]

    def _refine_weight(self) -> Tensor:
        """(2, queries + 3): ``refine`` is never called, so its spectral norm is brought up to date here."""
        for hook in self.refine._forward_pre_hooks.values():
            hook(self.refine, ())
        return self.refine.weight.flatten(1)

    def prepare_for_inference(self) -> DDColor:
        """Also folds spectral norm into the weights, with the stored u and v."""
        fold_spectral_norm(self)
        super().prepare_for_inference()
        return self

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Load a state dict of ours (with or without folded spectral norm) or an official one; strictly."""
        if any(key.startswith("encoder.arch.") for key in state):
            state = from_official(state)
        if not any(key.endswith("weight_orig") for key in state):
            fold_spectral_norm(self)
        super().load_weights(state)


_OFFICIAL_NAMES = (
    (r"^encoder\.arch\.downsample_layers\.0\.(\d)", r"encoder.body.stem_\1"),
    (r"^encoder\.arch\.downsample_layers\.(\d)\.", r"encoder.body.stages_\1.downsample."),
    (r"^encoder\.arch\.stages\.(\d)\.(\d+)\.", r"encoder.body.stages_\1.blocks.\2."),
    (r"\.dwconv\.", ".conv_dw."),
    (r"\.pwconv([12])\.", r".mlp.fc\1."),
    (r"^encoder\.arch\.norm(\d)\.", r"encoder.norms.\1."),
    (r"^encoder\.arch\.norm\.", "encoder.pooled_norm."),
    (r"^decoder\.layers\.(\d)\.shuf\.conv\.0\.", r"pixel_decoder.blocks.\1.up.conv."),
    (r"^decoder\.layers\.(\d)\.shuf\.conv\.1\.", r"pixel_decoder.blocks.\1.up.norm."),
    (r"^decoder\.layers\.(\d)\.bn\.", r"pixel_decoder.blocks.\1.skip_norm."),
    (r"^decoder\.layers\.(\d)\.conv\.0\.", r"pixel_decoder.blocks.\1.conv."),
    (r"^decoder\.layers\.(\d)\.conv\.2\.", r"pixel_decoder.blocks.\1.norm."),
    (r"^decoder\.last_shuf\.conv\.0\.", "pixel_decoder.last.conv."),
    (r"^decoder\.color_decoder\.transformer_cross_attention_layers\.(\d)\.", r"color_decoder.attention.\1.0."),
    (r"^decoder\.color_decoder\.transformer_self_attention_layers\.(\d)\.", r"color_decoder.attention.\1.1."),
    (r"\.(multihead|self)_attn\.", ".attention."),
    (r"^decoder\.color_decoder\.transformer_ffn_layers\.", "color_decoder.feedforward."),
    (r"^decoder\.color_decoder\.input_proj\.", "color_decoder.projections."),
    (r"^decoder\.color_decoder\.decoder_norm\.", "color_decoder.norm."),
    (r"^decoder\.color_decoder\.color_embed\.layers\.0\.", "color_decoder.color_embed.0."),
    (r"^decoder\.color_decoder\.color_embed\.layers\.1\.", "color_decoder.color_embed.2."),
    (r"^decoder\.color_decoder\.color_embed\.layers\.2\.", "color_decoder.color_embed.4."),
    (r"^decoder\.color_decoder\.", "color_decoder."),
    (r"^refine_net\.0\.0\.", "refine."),
)
# Constants, and the classifier of files older than August 2023 (the ModelScope file has it).
_OFFICIAL_EXTRAS = {"mean", "std", "encoder.arch.head_cls.weight", "encoder.arch.head_cls.bias"}


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of an official checkpoint; a key that no rule knows stays, so that strict loading reports it."""
    renamed = {}
    for key, tensor in state.items():
        if key in _OFFICIAL_EXTRAS:
            continue
        for pattern, replacement in _OFFICIAL_NAMES:
            key = re.sub(pattern, replacement, key)
        renamed[key] = tensor
    return renamed


def ddcolor(**options: Any) -> DDColor:
    return DDColor(**{"backbone": "convnext_large"} | options)


def ddcolor_tiny(**options: Any) -> DDColor:
    return DDColor(**{"backbone": "convnext_tiny"} | options)


def ddcolor_mini(**options: Any) -> DDColor:
    """About 1.2 M parameters: ConvNeXt 2-2-4-2 at 24-144 channels, 32 queries, 6 layers; made for 96 px."""
    mini: dict[str, Any] = {
        "backbone": "convnext_tiny",
        "backbone_options": {"depths": (2, 2, 4, 2), "dims": (24, 48, 96, 144), "ls_init_value": 1e-2},
        "width": 80,
        "queries": 32,
        "layers": 6,
        "heads": 4,
        "feedforward": 80,
        "working_size": 96,
    }
    return DDColor(**mini | options)
