"""Annotated images per processor second, files written, and rays against Embree.

Speed is counted in processor seconds of one thread: two cores make twice as many (the images of two
threads are the same bytes, see ``tests/unit/rendering/test_shading.py``).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
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
def sites() -> Sites:
    """Return a body that is ready for views."""
    runtime.start()
    return _body(1)


def _body(seed: int) -> Sites:
    body = sample_body(seed)
    target = Target(body_surface(body, BODIES), materials=materials(body, BODIES))
    return Sites(target, avoided=("head",))


@cache
def _photograph(number: int) -> tuple[np.ndarray, np.ndarray]:
    return draw(Drawing(f"PROC_{number}", "mel", number, 0), seed=11, size=224)


def lesion(number: int) -> Lesion:
    """Return a lesion lifted off a drawn photograph, which is drawn once."""
    pixels, mask = _photograph(number)
    return lifted(pixels, mask >= 128, 0.012)


def made(on: Sites, side: int, rays: int, seed: int) -> dict[str, bytes]:
    """Return a clinical image with one lesion and all of its annotations, encoded."""
    rng = np.random.default_rng(seed)
    wanted = Wanted(MODES["clinical"], (side, side), rays=rays)
    scene = draw_scene(on, draw_skin(30, rng), [lesion(seed)], wanted, rng)
    rendering = render(on.target, scene)
    pixels = cv2.imencode(".jpg", rendering.pixels[..., ::-1])[1].tobytes()
    return files(rendering, on.target.surface.parts, ["mel"]) | {"image": pixels}


def images(side: int, rays: int, least: float) -> Callable[[bool], Row]:
    """Return a row: images written with everything, on two cores, each body seen VIEWS times."""

    def row(_full: bool) -> Row:
        _written(sites(), side, rays, 1)
        seconds = min(_processor(partial(_written, sites(), side, rays)) for _ in range(2))
        body = min(_processor(partial(_body, 2)) for _ in range(2))
        note = f"{seconds / VIEWS:.3f} processor s an image, {body:.2f} s a body of {VIEWS}; "
        return bound_row(
            f"render_{side}" + ("" if rays == 1 else "_rays"),
            CORES * VIEWS / (seconds + body),
            "images/s",
            least,
            "least",
            note=note + f"{rays} rays",
        )

    return row


def _written(on: Sites, side: int, rays: int, views: int = VIEWS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(views):
            for name, data in made(on, side, rays, seed).items():
                Path(folder, f"{seed}_{name}").write_bytes(data)


def preview(_full: bool) -> Row:
    """Eight images of a new body in processes that have rendered before, shared by two cores."""
    _written(sites(), 512, 4, 1)
    seconds = _processor(lambda: _written(_body(3), 512, 4))
    note = f"8 images at 512 px; {seconds:.1f} processor s"
    return bound_row("render_preview", seconds / CORES, "s", 5.0, note=note)


def memory(name: str, size: int, label: str) -> Callable[[bool], Row]:
    """Return a row: the peak of a process that does one thing."""

    def row(_full: bool) -> Row:
        command = [sys.executable, "-m", "tests.bench.render_memory", name, str(size)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        peak, seconds = float(told[-2]) / 1e9, float(told[-1])
        note = (
            f"the whole process; mesh read in {seconds:.1f} s" if seconds else "the whole process"
        )
        return bound_row(label, peak, "GB", 3.0, note=note)

    return row


def rays(_full: bool) -> Row:
    """Compare primary rays at 512 x 512, all attributes written, with Embree's bare hits."""
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    target = sites().target
    surface = target.surface
    camera = aim(np.array([0.2, -2.2, 1.1]), np.array([0, 0, 1.0]), 0, np.radians(40), (512, 512))
    scene = EmbreeScene()
    TriangleMesh(scene, surface.vertices, surface.triangles)
    directions = camera.directions().reshape(-1, 3)
    origins = np.repeat(camera.position[None].astype(np.float32), len(directions), axis=0)
    sides = (
        lambda: cast(target, camera),
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
    "render_preview": preview,
    "render_memory": memory("image", 512, "render_memory"),
    "render_memory_1024": memory("image", 1024, "render_memory_1024"),
    "render_mesh": memory("mesh", 1_000_000, "render_mesh"),
    "render_rays": rays,
}
