"""Where light comes from: flash, lamps, windows, and the room around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import warp as wp
from numpy.typing import NDArray

from core.rendering.camera import Camera
from core.rendering.kernels.lights import MOST
from core.rendering.kernels.lights import Lights as LightsOnDevice
from core.rendering.runtime import array

Rig = Literal["flash", "lamp", "window", "ring"]
Vector = NDArray[np.float64]

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Light:
    """A sphere that shines: place and radius in metres, colour as irradiance at one metre."""

    place: tuple[float, float, float]
    radius: float
    colour: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Lighting:
    """At most three lights, and the room: radiance above, below, and two lobes (direction, rgb).

    gloss is how much of the mirrored light is seen: 0 behind crossed polarisers.
    """

    rig: Rig
    lights: tuple[Light, ...]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    boxes: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...]
    gloss: float = 1.0

    def as_json(self) -> dict[str, Any]:
        """Return the lighting as a record keeps it."""
        return {
            "rig": self.rig,
            "lights": [
                {"place_m": list(one.place), "radius_m": one.radius, "colour": list(one.colour)}
                for one in self.lights
            ],
            "sky": list(self.sky),
            "ground": list(self.ground),
            "boxes": [{"direction": list(d), "colour": list(c)} for d, c in self.boxes],
            "gloss": self.gloss,
        }


def draw_lighting(rig: Rig, camera: Camera, focus: Vector, rng: np.random.Generator) -> Lighting:
    """Draw light for a camera that looks at ``focus``; about 1 of irradiance arrives there."""
    if rig == "ring":
        return _ring(camera, focus, rng)
    if rig == "flash":
        return _flash(camera, focus, rng)
    return _room(camera, focus, rng, window=rig == "window")


def _flash(camera: Camera, focus: Vector, rng: np.random.Generator) -> Lighting:
    away = float(np.linalg.norm(camera.position - focus))
    right, down, _ = camera.rotation
    shift = rng.uniform(-0.05, 0.05) * right - rng.uniform(0.01, 0.08) * down
    place = camera.position + shift * min(1.0, away / 0.4)
    share = float(rng.uniform(0.65, 0.9))
    lit = share * away**2 * _tint(rng.uniform(5000, 6500), rng)
    room = (1 - share) * _tint(rng.uniform(3200, 5500), rng)
    return Lighting(
        "flash",
        (_light(place, float(rng.uniform(0.006, 0.03)), lit),),
        _three(room * 1.2),
        _three(room * rng.uniform(0.3, 0.7)),
        (_box(rng, 0.3 * room), _box(rng, 0.0 * room)),
    )


def _ring(camera: Camera, focus: Vector, rng: np.random.Generator) -> Lighting:
    """Return the even light of a dermatoscope: all around its lens, next to the skin."""
    light = _tint(rng.uniform(4800, 6500), rng)
    towards = camera.position - focus
    away = float(np.linalg.norm(towards))
    lean = camera.rotation[0] * rng.normal(0, 0.25) + camera.rotation[1] * rng.normal(0, 0.25)
    place = camera.position + lean * away
    polarised = rng.random() < 0.7
    return Lighting(
        "ring",
        (_light(place, 0.35 * away, 0.35 * away**2 * light),),
        _three(0.65 * light),
        _three(0.65 * light),
        (_box(rng, 0 * light), _box(rng, 0 * light)),
        gloss=0.0 if polarised else 0.12,
    )


def _room(camera: Camera, focus: Vector, rng: np.random.Generator, window: bool) -> Lighting:
    """Return a large light to one side or above, sometimes a second one, and a bright room."""
    share = float(rng.uniform(0.45, 0.75))
    colour = _tint(rng.uniform(5200, 7500) if window else rng.uniform(3000, 5200), rng)
    room = _tint(rng.uniform(3800, 6000), rng)
    towards = (camera.position - focus) / np.linalg.norm(camera.position - focus)
    lights = []
    for number in range(1 + int(rng.random() < 0.5)):
        up = np.array([0, 0, 0.25 if window else 0.9])
        side = rng.normal(0, 0.75, 3) * (1 if number == 0 else 1.2)
        direction = towards * 0.9 + up + side
        direction /= np.linalg.norm(direction)
        facing = max(float(direction @ towards), 0.35)
        away = float(rng.uniform(1.2, 2.2))
        strength = share * away**2 / facing * (1.0 if number == 0 else 0.35)
        radius = float(rng.uniform(0.25, 0.55) if window else rng.uniform(0.08, 0.35))
        lights.append(_light(focus + away * direction, radius, strength * colour))
    rest = (1 - share) * room
    return Lighting(
        "window" if window else "lamp",
        tuple(lights),
        _three(rest * 1.3),
        _three(rest * rng.uniform(0.35, 0.8)),
        (_box(rng, 0.5 * rest), _box(rng, 0.3 * rest)),
    )


def on_device(lighting: Lighting, device: str) -> Any:
    """Return the lighting for kernels."""
    made = LightsOnDevice()
    made.count = len(lighting.lights)
    slots = [*lighting.lights] + [Light((0, 0, 9.0), 0.1, (0, 0, 0))] * (
        int(MOST) - len(lighting.lights)
    )
    made.place = array(np.array([one.place for one in slots], np.float32), wp.vec3, device)
    made.radius = array(np.array([one.radius for one in slots], np.float32), wp.float32, device)
    made.colour = array(np.array([one.colour for one in slots], np.float32), wp.vec3, device)
    made.sky, made.ground = wp.vec3(*lighting.sky), wp.vec3(*lighting.ground)
    boxes = np.array(lighting.boxes, np.float32)
    made.box_direction = array(np.ascontiguousarray(boxes[:, 0]), wp.vec3, device)
    made.box_colour = array(np.ascontiguousarray(boxes[:, 1]), wp.vec3, device)
    return made


def _tint(kelvin: float, rng: np.random.Generator) -> Vector:
    """Return the colour of light of a temperature after a camera's imperfect balance, mean 1.

    The fit goes through black bodies of 3000-7500 K relative to 5500 K, at a third of their
    strength: the camera corrects the rest.
    """
    warm = (5500 - kelvin) / 2500 / 3
    colour = np.array([1 + 0.30 * warm, 1.0 - 0.02 * abs(warm), 1 - 0.42 * warm])
    colour *= 1 + rng.normal(0, 0.01, 3)
    return np.asarray(colour / colour.mean())


def _box(rng: np.random.Generator, colour: Vector) -> Any:
    direction = rng.normal(0, 1, 3) + np.array([0, 0, 0.5])
    return _three(direction / np.linalg.norm(direction)), _three(colour)


def _light(place: Vector, radius: float, colour: Vector) -> Light:
    return Light(_three(place), round(radius, _DIGITS), _three(colour))


def _three(values: Vector) -> tuple[float, float, float]:
    a, b, c = (round(float(v), _DIGITS) for v in values)
    return a, b, c
