"""sRGB <-> CIELAB on tensors: differentiable, batched, on any device.

D65 white, 2 degree observer, the constants of scikit-image (so both agree to 1e-4), IEC 61966-2-1 transfer curve.
L* lies in [0, 100]; the sRGB gamut spans a* in [-86.2, 98.2] and b* in [-107.9, 94.5].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_RGB_TO_XYZ = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
_EPSILON = 0.008856  # below: the linear toe of the CIE cube root
_KAPPA = 7.787
# Linear RGB -> XYZ / white, and back.
_FORTH = np.array(_RGB_TO_XYZ) / np.array(_WHITE)[:, None]
_BACK = np.linalg.inv(_FORTH)


def mix(matrix: np.ndarray, image: Tensor) -> Tensor:
    """(K, 3) times (..., 3, H, W), one product after the other: TF32 and autocast round those of a matrix product.

    The numbers travel with the kernels; a tensor made of them at each call would have the host wait for the device.
    """
    x, y, z = image.unbind(-3)
    rows = matrix.tolist()
    return torch.stack([torch.add(torch.add(a * x, y, alpha=b), z, alpha=c) for a, b, c in rows], dim=-3)


def _linear(rgb: Tensor) -> Tensor:
    return torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)


def _encoded(linear: Tensor) -> Tensor:
    """Inverse of ``_linear``; not clipped."""
    return torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, 12.92 * linear)


def _cubed(f: Tensor) -> Tensor:
    """Inverse of the CIE cube root with its linear toe."""
    return torch.where(f > 0.2068966, f**3, (f - 16 / 116) / _KAPPA)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert sRGB to CIELAB.

    Args:
        rgb: (..., 3, H, W); uint8 in 0..255, or floating point in [0, 1].

    Returns:
        (..., 3, H, W) L*, a*, b*; float32 for uint8 input, else the dtype of ``rgb``.
    """
    linear = _linear(rgb.float() / 255 if rgb.dtype == torch.uint8 else rgb)
    xyz = mix(_FORTH, linear)
    # The clamp keeps the gradient of the unused branch finite at black.
    f = torch.where(xyz > _EPSILON, xyz.clamp(min=_EPSILON) ** (1 / 3), _KAPPA * xyz + 16 / 116)
    x, y, z = f.unbind(-3)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-3)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Convert CIELAB to sRGB; colours outside the gamut are clipped, as scikit-image does.

    Args:
        lab: (..., 3, H, W) floating point L*, a*, b*.

    Returns:
        (..., 3, H, W) sRGB in [0, 1]. The gradient is zero where a channel is clipped.
    """
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    f = torch.stack((y + a / 500, y, (y - b / 200).clamp(min=0)), dim=-3)
    linear = mix(_BACK, _cubed(f))
    return _encoded(linear).clamp(0, 1)


def join(lightness: Tensor, ab: Tensor) -> Tensor:
    """(..., 1, H, W) L* and (..., 2, H, W) ab -> (..., 3, H, W) sRGB in [0, 1]."""
    return lab_to_rgb(torch.cat((lightness, ab), dim=-3))


def to_uint8(rgb: Tensor) -> Tensor:
    """sRGB in [0, 1] -> uint8 by rounding (truncation alone would cost 36 dB on an identity round trip)."""
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8)


def gray_rgb(lightness: Tensor) -> Tensor:
    """(..., 1, H, W) L* -> (..., 3, H, W) neutral sRGB in [0, 1] of that lightness (a* = b* = 0)."""
    gray = _encoded(_cubed((lightness + 16) / 116)).clamp(0, 1)
    return gray.expand(*gray.shape[:-3], 3, *gray.shape[-2:])
