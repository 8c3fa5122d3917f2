"""``python -m tests.bench.render_memory image N | mesh N``: the memory that rendering takes.

Runs in a process of its own, because the peak of a process never falls. ``image``: three scenes of
N x N pixels on a body of the default kind, annotated. ``mesh``: an OBJ file of N triangles, read
and rendered once. Prints the process's peak in bytes, with everything loaded, and the processor
seconds of reading the mesh.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from core.rendering import runtime
from core.rendering.annotations import files
from core.rendering.own_mesh import MeshOptions, read_own_mesh
from core.rendering.raycast import Target
from core.rendering.render import render
from core.rendering.scene import Wanted, draw_scene
from core.rendering.skin import draw_skin
from core.rendering.views import MODES, Sites
from tests.bench.memory import peak
from tests.bench.rendering import lesion, made, sites


def image(side: int) -> float:
    for seed in range(3):
        made(sites(), side, 4, seed)
    return 0.0


def mesh(triangles: int) -> float:
    data = obj(triangles)
    start = time.process_time()
    own = read_own_mesh(data, None, MeshOptions(units="m", up="z"))
    seconds = time.process_time() - start
    runtime.start()
    target = Target(own.surface)
    rng = np.random.default_rng(0)
    wanted = Wanted(MODES["clinical"], (512, 512))
    scene = draw_scene(Sites(target), draw_skin(20, rng), [lesion(1)], wanted, rng)
    files(render(target, scene), own.surface.parts, ["mel"])
    return seconds


def obj(triangles: int) -> bytes:
    """Return a ball of half a metre as an OBJ file of about so many triangles."""
    rings = round((triangles / 4) ** 0.5)
    theta = np.linspace(0.02, np.pi - 0.02, rings + 1)[:, None]
    phi = np.linspace(0, 2 * np.pi, 2 * rings + 1)[None, :]
    x, y = np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi)
    points = 0.5 * np.stack([x, y, np.cos(theta) + 0 * phi], -1).reshape(-1, 3)
    uv = np.stack([phi / 7 + 0 * theta, theta / 4 + 0 * phi], -1).reshape(-1, 2)
    number = 1 + np.arange(len(points)).reshape(x.shape)
    quads = np.stack([number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]], -1)
    lines = [f"v {a:.6f} {b:.6f} {c:.6f}" for a, b, c in points.tolist()]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in uv.tolist()]
    lines += [
        "f " + " ".join(f"{corner}/{corner}" for corner in quad)
        for quad in quads.reshape(-1, 4).tolist()
    ]
    return "\n".join(lines).encode()


def main() -> None:
    name, size = sys.argv[1], int(sys.argv[2])
    seconds = {"image": image, "mesh": mesh}[name](size)
    print(peak(), round(seconds, 3))


if __name__ == "__main__":
    main()
