"""Smooth contours: where neighbours differ, more rays say whose colour each part of a pixel has."""

import warp as wp

from core.rendering.kernels.primary import Hits
from core.rendering.kernels.shapes import FAR, Eye, Shape, look

wp.set_module_options({"enable_backward": False})

RAYS = wp.constant(12)


@wp.func
def differs(hits: Hits, row: int, column: int) -> bool:
    """Return whether a neighbour shows no body where this pixel does, or one far before it."""
    rows = hits.face.shape[0]
    columns = hits.face.shape[1]
    here = hits.face[row, column] >= 0
    depth = hits.depth[row, column]
    for i in range(-1, 2):
        for j in range(-1, 2):
            y = wp.clamp(row + i, 0, rows - 1)
            x = wp.clamp(column + j, 0, columns - 1)
            if (hits.face[y, x] >= 0) != here:
                return True
            if here and wp.abs(hits.depth[y, x] - depth) > 0.02 * depth:
                return True
    return False


@wp.kernel
def contours(
    eye: Eye,
    shape: Shape,
    hits: Hits,
    light: wp.array2d[wp.vec3],
    first_row: int,
    smooth: wp.array2d[wp.vec3],
    cover: wp.array2d[float],
):
    """``smooth`` is light times ``cover``, the share of the pixel that a body covers."""
    row, column = wp.tid()
    rows = hits.face.shape[0]
    columns = hits.face.shape[1]
    smooth[row, column] = light[row, column]
    cover[row, column] = wp.where(hits.face[row, column] >= 0, 1.0, 0.0)
    if not differs(hits, row, column):
        return
    summed = wp.vec3(0.0, 0.0, 0.0)
    hit = float(0.0)
    for ray in range(RAYS):
        u = (float(ray) + 0.5) / float(RAYS)
        v = 0.5 + 0.61803399 * float(ray)
        v = v - wp.floor(v)
        x = float(column) + u
        y = float(first_row + row) + v
        found = wp.mesh_query_ray(shape.mesh, eye.origin, look(eye, x, y), FAR)
        if found.result:
            nearest = float(1.0e9)
            best = wp.vec3(0.0, 0.0, 0.0)
            for i in range(-1, 2):
                for j in range(-1, 2):
                    r = row + i
                    c = column + j
                    if r >= 0 and r < rows and c >= 0 and c < columns and hits.face[r, c] >= 0:
                        away = wp.abs(hits.depth[r, c] - found.t) / found.t * 50.0
                        away += 0.2 * (wp.abs(float(i) + 0.5 - v) + wp.abs(float(j) + 0.5 - u))
                        if away < nearest:
                            nearest = away
                            best = light[r, c]
            if nearest < 1.0e8:
                hit += 1.0
                summed += best
    smooth[row, column] = summed / float(RAYS)
    cover[row, column] = hit / float(RAYS)
