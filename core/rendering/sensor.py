"""The camera's sensor: exposure, colour balance, lens, noise, tone curve, JPEG."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.rendering.raycast import Bytes, Floats
from core.rendering.tone import to_srgb

_SHOULDER = 0.8
"""Linear light above which highlights are compressed."""
_BRIGHTEST = 97.0
"""Percentile of what shows skin that the exposure keeps below white."""
_FOLLOWED = 0.7
"""How much of the skin's own darkness, on a log scale, an exposure keeps."""
_SHARP, _SOFT, _SOFTEST = 0.45, 1.5, 4.0
"""Blur that nobody sees, and the two degrees that are mixed in, standard deviations in pixels."""
_FULL = 16.0
"""Linear light beyond which nothing gets brighter."""
_STEPS = 1 << 14


@dataclass(frozen=True, slots=True)
class Sensor:
    """How a photograph is developed.

    exposure is in stops about what the camera chooses; balance factors of red and blue; blur the
    lens's standard deviation in pixels; vignette the light lost in the corners (0..1); shot and
    read the noise of a full and of an empty pixel, standard deviations of linear light; contrast
    1 is none; jpeg a quality, 100 for none; circle the radius of a dermatoscope's field over half
    the shorter side, None without one.
    """

    exposure: float
    balance: tuple[float, float]
    blur: float
    vignette: float
    shot: float
    read: float
    contrast: float
    jpeg: int
    circle: float | None
    seed: int
    aperture: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the sensor as a record keeps it."""
        return {
            name: [round(v, 6) for v in value]
            if isinstance(value, tuple)
            else round(value, 6)
            if isinstance(value, float)
            else value
            for name, value in asdict(self).items()
        }


def draw_sensor(rng: np.random.Generator, *, dermatoscope: bool = False) -> Sensor:
    """Draw a camera: a good one, a telephone, or one held badly."""
    poor = float(rng.beta(1.2, 4))
    circle = None
    if dermatoscope and rng.random() < 0.4:
        circle = float(rng.uniform(0.92, 1.25))
    return Sensor(
        exposure=float(rng.normal(0, 0.22)),
        balance=(float(np.exp(rng.normal(0, 0.03))), float(np.exp(rng.normal(0, 0.04)))),
        blur=0.35 + 1.1 * poor * float(rng.random()),
        vignette=float(rng.uniform(0.0, 0.45 if dermatoscope else 0.2)),
        shot=0.006 + 0.02 * poor,
        read=0.0008 + 0.004 * poor,
        contrast=float(rng.uniform(0.95, 1.15)),
        jpeg=int(rng.integers(75, 97)),
        circle=circle,
        seed=int(rng.integers(2**31)),
        aperture=0.0 if dermatoscope else round(float(rng.uniform(0.0003, 0.004)), 6),
    )


def exposed(light: Floats, albedo: Floats, skin: NDArray[np.bool_], stops: float) -> float:
    """Return the factor that a camera applies to linear light.

    It wants skin at a middle level and follows most of its darkness, as a photographer does who
    knows that dark skin is dark; highlights bound it.
    """
    if not skin.any():
        return 1.0
    seen = _brightest(light)[skin]
    level, brightest = np.percentile(seen, (50, _BRIGHTEST))
    true = float(np.median(_brightest(albedo)[skin]))
    wanted = 0.62 * math.pow(max(true, 0.01) / 0.6, _FOLLOWED)
    factor = wanted / max(float(level), 1e-6) * math.exp2(stops)
    return min(factor, 1.15 / max(float(brightest), 1e-6))


def _brightest(light: Floats) -> Floats:
    """Return the largest channel (H, W)."""
    red, green, blue = light[..., 0], light[..., 1], light[..., 2]
    return np.asarray(np.maximum(np.maximum(red, green), blue))


def defocused(seen: Floats, depth: Floats, focus: float, focal: float, aperture: float) -> Floats:
    """Return light and cover (H, W, 4) as a lens shows them that is focused at ``focus`` metres.

    A point at a depth becomes a disc of aperture x focal / focus x |depth - focus| / depth pixels;
    it is approximated by mixing three degrees of blur. depth is 0 where there is nothing.
    """
    there = depth > 0
    off = np.abs(depth - np.float32(focus)) / np.where(there, depth, 1)
    sigma = np.where(there, off * np.float32(aperture * focal / focus / 4), 0).astype(np.float32)
    if sigma.max() < _SHARP:
        return seen
    sigma = np.asarray(cv2.dilate(sigma, np.ones((5, 5), np.uint8)), np.float32)
    soft = np.asarray(cv2.GaussianBlur(seen, (0, 0), _SOFT), np.float32)
    share = np.minimum(sigma / _SOFT, 1)[..., None]
    made = seen + (soft - seen) * share * share
    if sigma.max() > _SOFT:
        size = (max(1, seen.shape[1] // 2), max(1, seen.shape[0] // 2))
        half = cv2.resize(soft, size, interpolation=cv2.INTER_AREA)
        half = cv2.GaussianBlur(half, (0, 0), _SOFTEST / 2)
        softest = np.asarray(cv2.resize(half, seen.shape[1::-1]), np.float32)
        share = np.clip((sigma - _SOFT) / (_SOFTEST - _SOFT), 0, 1)[..., None]
        made += (softest - made) * share
    return np.asarray(made, np.float32)


def develop(light: Floats, sensor: Sensor) -> Bytes:
    """Return sRGB pixels of linear light (H, W, 3) at its final exposure."""
    height, width = light.shape[:2]
    rng = np.random.default_rng(sensor.seed)
    gains = np.array([sensor.balance[0], 1.0, sensor.balance[1]], np.float32)
    seen: Floats = np.asarray(light * gains, np.float32)
    if sensor.blur > 0.1:
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), sensor.blur), np.float32)
    away = _radius(height, width)
    seen *= (1 - np.float32(sensor.vignette / 2) * away**2)[..., None]
    if sensor.circle is not None:
        inside = np.clip((sensor.circle - away) * min(height, width) / 6, 0, 1)[..., None]
        seen = np.asarray(seen * inside + np.float32(0.004) * (1 - inside), np.float32)
    np.maximum(seen, 0, out=seen)
    grain = rng.standard_normal(seen.shape, np.float32)
    grain *= np.sqrt(seen * np.float32(sensor.shot**2) + np.float32(sensor.read**2))
    seen += grain
    return compressed(_printed(seen, sensor.contrast), sensor.jpeg)


def _printed(light: Floats, contrast: float) -> Bytes:
    """Return sRGB bytes of linear light, through a table over its root: steps are even to see."""
    levels = np.linspace(0, 1, _STEPS, dtype=np.float64) ** 2 * _FULL
    table = np.rint(to_srgb(_curve(levels, contrast)) * 255).astype(np.uint8)
    place = np.sqrt(np.clip(light, 0, _FULL)) * np.float32((_STEPS - 1) / math.sqrt(_FULL))
    return np.asarray(table[(place + np.float32(0.5)).astype(np.uint16)], np.uint8)


def compressed(pixels: Bytes, quality: int) -> Bytes:
    """Return pixels after JPEG at a quality; 100: as they are."""
    if quality >= 100:
        return pixels
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError("OpenCV could not encode a JPEG")
    read = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if read is None:
        raise ValueError("OpenCV could not decode its own JPEG")
    return np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)


def _curve(light: NDArray[np.float64], contrast: float) -> NDArray[np.float64]:
    """Return light after contrast about middle grey, and a soft shoulder towards white."""
    bent = 0.18 * np.power(np.maximum(light, 1e-6) / 0.18, contrast)
    over = np.maximum(bent - _SHOULDER, 0)
    room = 1 - _SHOULDER
    return np.where(bent > _SHOULDER, _SHOULDER + room * over / (over + room), bent)


def _radius(height: int, width: int) -> Floats:
    """Return the distance from the middle over half the shorter side."""
    half = min(height, width) / 2
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / half
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / half
    return np.asarray(np.sqrt(y[:, None] ** 2 + x[None, :] ** 2), np.float32)
