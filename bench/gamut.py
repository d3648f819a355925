"""The quantised ab plane of Colorful Image Colorization (Zhang et al., ECCV 2016): its colours and soft targets."""

from __future__ import annotations

import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from bench.color import rgb_to_lab


def in_gamut_bins(step: int = 10) -> Tensor:
    """Colours of a regular grid that sRGB can show, or nearly: for ``step`` 10 the 313 bins of the paper, in its order.

    The paper does not state its rule; this one gives its list exactly: a node is in if it lies nearer than one step
    (Chebyshev distance) to the convex hull of the gamut's projection onto the ab plane.

    Args:
        step: distance of neighbouring bins; the grid has a node at (0, 0) and reaches to +-110.

    Returns:
        (Q, 2) float32 a*, b*; a* ascending, then b* ascending.
    """
    levels = torch.linspace(0, 1, 9, dtype=torch.float64)
    cube = torch.cartesian_prod(levels, levels, levels)  # the hull's corners lie on its edges
    ab = rgb_to_lab(cube.T[..., None])[1:, :, 0].T
    # Nearer than a step to the hull = inside the hull grown by a square of that half side.
    sides = torch.tensor([-step, step], dtype=torch.float64)
    grown = (ab[:, None] + torch.cartesian_prod(sides, sides)).flatten(0, 1)
    normals, offsets = torch.from_numpy(ConvexHull(grown.numpy()).equations).split((2, 1), dim=1)
    reach = 110 // step * step
    axis = torch.arange(-reach, reach + 1, step, dtype=torch.float64)
    nodes = torch.cartesian_prod(axis, axis)
    inside = (nodes @ normals.T + offsets.T < 0).all(dim=1)
    return nodes[inside].float()


def soft_encode(ab: Tensor, bins: Tensor, k: int = 5, sigma: float = 5.0) -> Tensor:
    """Chroma -> a distribution over its nearest bins, the target of classification.

    Args:
        ab: (B, 2, H, W) a*, b*.
        bins: (Q, 2) a*, b*, on the same device.
        k: bins that share a pixel (5 in the paper, 10 in the released training layer).
        sigma: of the Gaussian that weights them by distance, in units of ab.

    Returns:
        (B, Q, H, W) in the dtype of ``ab``; sums to 1 over Q and is zero but for ``k`` bins.
    """
    pixels = ab.permute(0, 2, 3, 1)  # (B, H, W, 2)
    # The faster formula by matrix product loses the digits that tell near bins apart.
    distances = torch.cdist(pixels.flatten(0, 2), bins, compute_mode="donot_use_mm_for_euclid_dist")
    nearest, indices = distances.topk(k, largest=False)
    weights = (-nearest.square() / (2 * sigma**2)).softmax(dim=1)
    encoded = torch.zeros_like(distances).scatter_(1, indices, weights)
    return encoded.unflatten(0, pixels.shape[:3]).permute(0, 3, 1, 2)
