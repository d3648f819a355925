"""Reading photographs: any file or array that holds one picture -> upright 8-bit RGB (RGBA if it was transparent).

Colour profiles (ICC) are ignored: the numbers in the file are taken as sRGB, as every colorization benchmark does.
Of an animation or a multi-page file the first picture is read.
"""

from __future__ import annotations

import contextlib
import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from bench.errors import ImageError

if TYPE_CHECKING:
    import torch

# Formats of photographs only: Pillow would otherwise hand PostScript to an external interpreter.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "AVIF", "JPEG2000")

Source = str | Path | bytes | Image.Image | np.ndarray


def read_photo(source: Source, name: str = "the image") -> Image.Image:
    """Read one photograph, whatever its mode, turned upright as its EXIF orientation says.

    Args:
        source: a path, the bytes of an image file, a PIL image, or a uint8 array (H, W), (H, W, 3) or (H, W, 4).
        name: what errors call a source that is no path.

    Returns:
        Mode "RGB", or "RGBA" where the photograph carries transparency. 16-bit gray is scaled to 8 bits; 32-bit and
        floating-point gray by the range its values lie in ([0, 1], 0..255 or 0..65535).

    Raises:
        ImageError: there is no such file, or it is empty, truncated, damaged, not an image or absurdly large.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, name)
    if isinstance(source, Image.Image):
        return _decoded(source, name)
    if isinstance(source, bytes):
        return _from_bytes(source, name)
    path = Path(source)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"there is no file {path}. Expected the path of a photograph.") from None
    except IsADirectoryError:
        raise ImageError(f"{path} is a folder. Expected the path of one photograph.") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return _from_bytes(data, str(path))


def read_rgb(source: Source, name: str = "the image") -> np.ndarray:
    """Read one photograph as (H, W, 3) uint8 RGB; transparency is dropped, not blended, as benchmark code does.

    Raises:
        ImageError: see ``read_photo``.
    """
    return np.array(read_photo(source, name).convert("RGB"))


def rgb_tensor(photo: Image.Image) -> torch.Tensor:
    """An RGB or RGBA photograph -> (3, H, W) uint8 RGB, transparency dropped."""
    import torch

    return torch.from_numpy(np.array(photo.convert("RGB"))).permute(2, 0, 1).contiguous()


def photo_from_tensor(rgb: torch.Tensor, alpha: Image.Image | None = None) -> Image.Image:
    """(3, H, W) uint8 RGB on any device -> a PIL image, with the alpha channel of ``alpha`` if that has one.

    Raises:
        ImageError: ``alpha`` is of another size.
    """
    photo = Image.fromarray(rgb.permute(1, 2, 0).contiguous().cpu().numpy())
    if alpha is not None and "A" in alpha.getbands():
        if alpha.size != photo.size:
            raise ImageError(f"transparency of {alpha.size} pixels does not fit a picture of {photo.size}.")
        photo.putalpha(alpha.getchannel("A"))
    return photo


def _from_array(pixels: np.ndarray, name: str) -> Image.Image:
    if pixels.dtype != np.uint8:
        raise ImageError(f"{name} is an array of {pixels.dtype}. Expected uint8 with values 0..255.")
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))) or pixels.size == 0:
        raise ImageError(
            f"{name} is an array of shape {pixels.shape}. Expected (H, W), (H, W, 3) or (H, W, 4), not empty."
        )
    photo = Image.fromarray(np.ascontiguousarray(pixels))
    return photo if photo.mode == "RGBA" else photo.convert("RGB")


@cache
def _formats() -> tuple[str, ...]:
    """Those of ``_FORMATS`` that this Pillow can read: it fails on names it does not know."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _from_bytes(data: bytes, name: str) -> Image.Image:
    if not data:
        raise ImageError(f"{name} is empty (0 bytes). Copy or download it again.")
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as photo:
            return _decoded(photo, name)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not an image that can be read here ({', '.join(_formats())}).") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} claims more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels: refused.") from None
    except Exception as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> ImageError:
    reason = str(error) or type(error).__name__
    return ImageError(f"{name} is damaged and cannot be decoded: {reason}. Copy or download it again.")


def _decoded(photo: Image.Image, name: str) -> Image.Image:
    """Decode all pixels now, turn them upright and bring them to RGB or RGBA."""
    if 0 in photo.size:
        raise ImageError(f"{name} has no pixels: {photo.width} x {photo.height}.")
    try:
        photo.load()
    except Exception as error:  # decoders raise whatever they stumble over
        raise _damaged(name, error) from error
    is_netpbm = photo.format == "PPM"
    is_plain_cmyk = photo.format == "JPEG" and photo.mode == "CMYK" and "adobe" not in photo.info
    with contextlib.suppress(Exception):  # damaged EXIF is no reason to refuse sound pixels
        photo = ImageOps.exif_transpose(photo)
    if photo.mode.startswith(("I", "F")):
        return _eight_bit(np.asarray(photo), name, sixteen=photo.mode.startswith("I;16") or is_netpbm)
    if photo.mode == "LAB":
        return _from_lab(photo)
    if is_plain_cmyk:
        photo = ImageChops.invert(photo)  # Pillow takes every CMYK JPEG for one of Adobe's, which are stored inverted
    if photo.mode == "La":
        photo = photo.convert("LA")  # the only conversion Pillow knows from premultiplied gray
    return photo.convert("RGBA" if photo.has_transparency_data else "RGB")


def _eight_bit(gray: np.ndarray, name: str, sixteen: bool) -> Image.Image:
    """(H, W) gray of more than 8 bits -> RGB. ``sixteen``: full scale is known to be 65535."""
    low, high = float(gray.min()), float(gray.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > 65535:
        raise ImageError(f"{name} holds gray values from {low:g} to {high:g}. Expected 0..1, 0..255 or 0..65535.")
    unit = gray.dtype.kind == "f" and high <= 1
    full_scale = 65535.0 if sixteen or high > 255 else 1.0 if unit else 255.0
    return Image.fromarray(np.rint(gray * (255.0 / full_scale)).astype(np.uint8)).convert("RGB")


def _from_lab(photo: Image.Image) -> Image.Image:
    """CIELAB (D50, as TIFF stores it) -> sRGB."""
    from PIL import ImageCms

    converted = ImageCms.profileToProfile(
        photo, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None  # None only when asked to work in place
    return converted
