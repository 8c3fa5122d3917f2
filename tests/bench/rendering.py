"""Annotated images per processor second, files written, and rays against Embree.

Speed is counted in processor seconds of one thread: two cores make twice as many (the images of two
threads are the same bytes, see ``tests/unit/rendering/test_shading.py``).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from core.rendering import runtime
from core.rendering.annotations import files
from core.rendering.body import body_surface, materials, sample_body
from core.rendering.camera import aim
from core.rendering.lesions import Lesion, lifted
from core.rendering.raycast import Target, cast
from core.rendering.render import render
from core.rendering.scene import Wanted, draw_scene
from core.rendering.skin import draw_skin
from core.rendering.views import MODES, Sites
from core.synthesis.procedural import Drawing, draw
from tests.bench.measure import Row, bound_row

VIEWS = 8
"""Images of one body, as many as a shard makes of each."""
CORES = 2
BODIES = Path("build/bodies")


@cache
def _sites() -> Sites:
    runtime.start()
    body = sample_body(1)
    target = Target(body_surface(body, BODIES), materials=materials(body, BODIES))
    return Sites(target, avoided=("head",))


def _lesion(number: int) -> Lesion:
    pixels, mask = draw(Drawing(f"PROC_{number}", "mel", number, 0), seed=11, size=224)
    return lifted(pixels, mask >= 128, 0.012)


def images(side: int, rays: int, least: float) -> Callable[[bool], Row]:
    """Return a row: clinical images with one lesion and all annotations, on two cores."""

    def row(_full: bool) -> Row:
        sites = _sites()
        with tempfile.TemporaryDirectory() as folder:
            _make(sites, side, rays, 0, Path(folder))
            start = time.process_time()
            for seed in range(VIEWS):
                _make(sites, side, rays, seed, Path(folder))
        start_body = time.process_time()
        body_surface(sample_body(2), BODIES)
        body = time.process_time() - start_body
        seconds = (start_body - start + body) / VIEWS
        note = f"{seconds:.3f} processor s an image, {body:.2f} s a body of {VIEWS}; {rays} rays"
        return bound_row(
            f"render_{side}" + ("" if rays == 1 else "_rays"),
            CORES / seconds,
            "images/s",
            least,
            "least",
            note=note,
        )

    return row


def _make(sites: Sites, side: int, rays: int, seed: int, folder: Path) -> None:
    rng = np.random.default_rng(seed)
    wanted = Wanted(MODES["clinical"], (side, side), rays=rays)
    scene = draw_scene(sites, draw_skin(30, rng), [_lesion(seed)], wanted, rng)
    made = render(sites.target, scene)
    cv2.imwrite(str(folder / f"{seed}.jpg"), made.pixels[..., ::-1])
    for name, data in files(made, sites.target.surface.parts, ["mel"]).items():
        (folder / f"{seed}_{name}").write_bytes(data)


def rays(_full: bool) -> Row:
    """Compare primary rays at 512 x 512, all attributes written, with Embree's bare hits."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    sites = _sites()
    surface = sites.target.surface
    camera = aim(np.array([0.2, -2.2, 1.1]), np.array([0, 0, 1.0]), 0, np.radians(40), (512, 512))
    scene = EmbreeScene()
    TriangleMesh(scene, surface.vertices, surface.triangles)
    directions = camera.directions().reshape(-1, 3)
    origins = np.repeat(camera.position[None].astype(np.float32), len(directions), axis=0)
    sides = (
        lambda: cast(sites.target, camera),
        lambda: scene.run(origins, directions, output=1),
    )
    seconds = [[_processor(run) for run in sides] for _ in range(4)][1:]
    own, peer = (len(directions) / min(times) for times in zip(*seconds, strict=True))
    text = f"embree {peer:.3g} rays/s (hits alone)"
    return Row("render_rays", own, "rays/s", text, own / peer, ">= 0.25x", own >= 0.25 * peer)


def _processor(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


ROWS: dict[str, Callable[[bool], Row]] = {
    "render_256": images(256, 1, 8.0),
    "render_512": images(512, 1, 4.0),
    "render_512_rays": images(512, 16, 1.0),
    "render_rays": rays,
}
