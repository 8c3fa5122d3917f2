"""A small photograph of the default body with all its annotations, as a generator stores them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from core.rendering import runtime
from core.rendering.annotations import files, png
from core.rendering.body import Body, body_surface, materials
from core.rendering.raycast import Target
from core.rendering.render import render
from core.rendering.scene import Wanted, draw_scene
from core.rendering.skin import draw_skin
from core.rendering.views import MODES, Sites
from tests.unit.rendering.test_decals import disc


@lru_cache(maxsize=1)
def _sites() -> tuple[Sites, tuple[str, ...]]:
    runtime.start()
    folder = Path("build/bodies").resolve()
    standing = body_surface(Body(), folder)
    target = Target(standing, materials=materials(Body(), folder))
    return Sites(target, avoided=["head"]), tuple(standing.parts)


@lru_cache(maxsize=16)
def rendered(seed: int, lesions: int = 2, size: int = 64) -> tuple[bytes, dict[str, bytes]]:
    """Return a PNG of a region of the body, and its annotations by name."""
    sites, parts = _sites()
    rng = np.random.default_rng(seed)
    wanted = Wanted(MODES["regional"], (size, size), rays=1)
    drawn = draw_scene(sites, draw_skin(30.0, rng), [disc(0.03)] * lesions, wanted, rng)
    made = render(sites.target, drawn)
    return png(made.pixels), files(made, parts, ["nevus"] * lesions)
