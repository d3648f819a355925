"""Augmentation of whole batches on the device. Every choice belongs to a photograph, not to the batch."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.color import mix
from bench.training.config import AugmentConfig
from bench.training.randomness import uniform

_GRAY = np.array([[0.2989, 0.587, 0.114]])  # ITU-R 601
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def augment(images: Tensor, seeds: Tensor, config: AugmentConfig) -> Tensor:
    """Crop, mirror and jitter.

    Args:
        images: (B, 3, L, L) uint8 RGB.
        seeds: (B,) int64, one per photograph, on the same device.
        config: what to do.

    Returns:
        (B, 3, size, size) float32 sRGB in [0, 1].
    """
    mirrored = uniform(seeds, (), "flip") < 0.5 if config.flip else torch.zeros_like(seeds, dtype=torch.bool)
    if config.crop == "resized":
        rgb = resized_crop(images.float() / 255, seeds, config, mirrored)
    else:
        rgb = crop(images, seeds, config, mirrored).float() / 255
    return jitter(rgb, seeds, config)


def crop(images: Tensor, seeds: Tensor, config: AugmentConfig, mirrored: Tensor) -> Tensor:
    """(B, C, L, L) -> (B, C, size, size), by one gather; ``mirrored``: (B,) bool."""
    room = images.shape[-1] - config.size
    where = uniform(seeds, (2,), "crop") if config.crop == "random" else torch.full_like(seeds, 0.5, dtype=torch.float)
    corner = (where.view(len(seeds), -1).expand(-1, 2) * (room + (config.crop == "random"))).long()  # (B, 2)
    side = torch.arange(config.size, device=images.device)
    columns = torch.where(mirrored[:, None], side.flip(0), side) + corner[:, 1:]  # (B, size)
    rows = side + corner[:, :1]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def resized_crop(rgb: Tensor, seeds: Tensor, config: AugmentConfig, mirrored: Tensor) -> Tensor:
    """A part of random area and proportions (3:4 to 4:3), stretched to the size; bilinear.

    Args:
        rgb: (B, 3, L, L) floating point.
        seeds, config: see ``augment``.
        mirrored: (B,) bool.
    """
    area, ratio, x, y = uniform(seeds, (4,), "crop").unbind(dim=1)
    low, high = config.crop_scale
    area = low + (high - low) * area
    stretch = torch.exp((2 * ratio - 1) * math.log(4 / 3) / 2)
    width, height = (area.sqrt() * stretch).clamp(max=1), (area.sqrt() / stretch).clamp(max=1)
    theta = torch.zeros(len(rgb), 2, 3, device=rgb.device)
    theta[:, 0, 0] = torch.where(mirrored, -width, width)
    theta[:, 1, 1] = height
    theta[:, 0, 2], theta[:, 1, 2] = (1 - width) * (2 * x - 1), (1 - height) * (2 * y - 1)
    grid = F.affine_grid(theta, [len(rgb), 3, config.size, config.size], align_corners=False)
    return F.grid_sample(rgb, grid, mode="bilinear", padding_mode="border", align_corners=False)


def jitter(rgb: Tensor, seeds: Tensor, config: AugmentConfig) -> Tensor:
    """Brightness, contrast, saturation and hue, in this order; (B, 3, H, W) in [0, 1]."""
    if not (config.brightness or config.contrast or config.hue or config.saturation != (1.0, 1.0)):
        return rgb
    draws = uniform(seeds, (4,), "jitter")[:, :, None, None, None]
    rgb = (rgb * (1 + config.brightness * (2 * draws[:, 0] - 1))).clamp(0, 1)
    mean = gray(rgb).mean(dim=(2, 3), keepdim=True)
    rgb = (mean + (rgb - mean) * (1 + config.contrast * (2 * draws[:, 1] - 1))).clamp(0, 1)
    low, high = config.saturation
    rgb = saturate(rgb, low + (high - low) * draws[:, 2])
    return turn_hue(rgb, 2 * math.pi * config.hue * (2 * draws[:, 3] - 1)).clamp(0, 1) if config.hue else rgb


def gray(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W) luma."""
    return mix(_GRAY, rgb)


def saturate(rgb: Tensor, amount: Tensor | float) -> Tensor:
    """Away from gray by ``amount`` (1 = unchanged), clipped to [0, 1]; DDColor's colour enhancement is 1.2."""
    luma = gray(rgb)
    return (luma + (rgb - luma) * amount).clamp(0, 1)


def turn_hue(rgb: Tensor, angle: Tensor) -> Tensor:
    """Turn the chroma plane of YIQ by ``angle`` (B, 1, 1, 1) radians."""
    y, i, q = mix(_TO_YIQ, rgb).split(1, dim=1)
    turned = torch.cat((y, i * angle.cos() - q * angle.sin(), i * angle.sin() + q * angle.cos()), dim=1)
    return mix(_FROM_YIQ, turned)
