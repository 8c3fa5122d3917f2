"""Decoded Pillow images as 8-bit sRGB or grey pixels, with a record of every change."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from core.ingest.rejects import Rejected

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image as PillowImage

    from core.synthesis.contract import Pixels

_ORIENTATION_TAG = 0x0112
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})


def orientation_of(exif: bytes) -> int:
    """Return the orientation 1..8 in an EXIF block; 1 when there is none or it cannot be read."""
    from PIL import Image

    if not exif:
        return 1
    block = Image.Exif()
    try:
        block.load(exif)
        value = block.get(_ORIENTATION_TAG, 1)
    except (ValueError, SyntaxError, KeyError, OSError, TypeError, OverflowError):
        return 1
    return value if value in range(1, 9) else 1


def oriented(pixels: Pixels, orientation: int) -> Pixels:
    """Turn pixels upright (EXIF 2.32, tag Orientation)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    flips = {1: "", 2: "h", 3: "hv", 4: "v", 5: "", 6: "h", 7: "hv", 8: "v"}[orientation]
    if "v" in flips:
        pixels = pixels[::-1]
    if "h" in flips:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def is_srgb(icc: bytes) -> bool:
    """Tell whether a colour profile is sRGB, or too broken to say (browsers then assume sRGB)."""
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return "srgb" in ImageCms.getProfileDescription(profile).lower()
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return True


def to_pixels(
    image: PillowImage.Image, icc: bytes, orientation: int, depth: int = 8
) -> tuple[Pixels, dict[str, Any]]:
    """Convert to H x W x 3 sRGB or H x W grey, uint8, upright; return pixels and what was done.

    Grey beyond 8 bits is scaled linearly from the window between its smallest and largest value;
    transparency is composited on white; colour profiles are converted to sRGB.
    """
    done: dict[str, Any] = {}
    if depth != 8:
        done["depth"] = depth
    if image.mode in _DEEP_MODES:
        pixels, done["window"] = windowed(np.asarray(image))
    else:
        pixels = np.asarray(_to_srgb(_opaque(image, done), icc, done))
    if orientation != 1:
        pixels = oriented(pixels, orientation)
        done["orientation"] = orientation
    return np.ascontiguousarray(pixels, dtype=np.uint8), done


def windowed(values: NDArray[Any]) -> tuple[Pixels, list[float]]:
    """Scale values linearly to 0..255 from their range, which is returned as [low, high].

    A constant image becomes 0. Rejected ``decode_failed`` for values that are not finite.
    """
    data = values.astype(np.float64)
    if data.ndim != 2 or not np.isfinite(data).all():
        raise Rejected("decode_failed", "The pixel values are not finite numbers")
    low, high = float(data.min()), float(data.max())
    scale = 255.0 / (high - low) if high > low else 0.0
    return np.rint((data - low) * scale).astype(np.uint8), [low, high]


def _opaque(image: PillowImage.Image, done: dict[str, Any]) -> PillowImage.Image:
    """Resolve palettes, single bits and transparency; the result is L, RGB or CMYK."""
    from PIL import Image

    if image.mode not in ("L", "RGB"):
        done["mode"] = image.mode
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode == "PA":
        image = image.convert("RGBA")
    if image.mode in _ALPHA_MODES:
        grey = image.mode in ("LA", "La")
        image = image.convert("RGBA")
        low, _ = image.getchannel("A").getextrema()
        done["alpha"] = "opaque" if low == 255 else "on_white"
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image).convert("L" if grey else "RGB")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("RGBX", "YCbCr"):
        image = image.convert("RGB")
    if image.mode not in ("L", "RGB", "CMYK"):
        raise Rejected("unsupported_format", f"Pixels of mode {image.mode} are not read")
    return image


def _to_srgb(image: PillowImage.Image, icc: bytes, done: dict[str, Any]) -> PillowImage.Image:
    from PIL import ImageCms

    if icc and not is_srgb(icc):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None
            done["icc"] = "does not fit the pixels, ignored"
        if converted is not None:
            done["icc"] = ImageCms.getProfileDescription(source).strip()[:100]
            return converted.convert("L") if image.mode == "L" else converted
    return image.convert("RGB") if image.mode == "CMYK" else image
