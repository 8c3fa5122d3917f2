"""One ray through the centre of every pixel, and what it meets."""

import warp as wp

from core.rendering.kernels.shapes import (
    FAR,
    Eye,
    Shape,
    is_skin,
    look,
    smooth_normal,
    strongest_part,
    texture_uv,
)

wp.set_module_options({"enable_backward": False})


@wp.struct
class Hits:
    """Per pixel: face (-1: none), barycentrics, depth along the axis in metres, and attributes."""

    face: wp.array2d[int]
    bary: wp.array2d[wp.vec2]
    depth: wp.array2d[float]
    position: wp.array2d[wp.vec3]
    normal: wp.array2d[wp.vec3]
    uv: wp.array2d[wp.vec2]
    part: wp.array2d[wp.uint8]
    skin: wp.array2d[wp.uint8]


@wp.kernel
def primary(eye: Eye, shape: Shape, first_row: int, hits: Hits):
    row, column = wp.tid()
    direction = look(eye, float(column) + 0.5, float(first_row + row) + 0.5)
    found = wp.mesh_query_ray(shape.mesh, eye.origin, direction, FAR)
    hits.face[row, column] = -1
    hits.part[row, column] = wp.uint8(255)
    hits.skin[row, column] = wp.uint8(0)
    if not found.result:
        return
    face = found.face
    uv = texture_uv(shape, face, found.u, found.v)
    hits.face[row, column] = face
    hits.bary[row, column] = wp.vec2(found.u, found.v)
    hits.depth[row, column] = found.t
    hits.position[row, column] = eye.origin + direction * found.t
    hits.normal[row, column] = smooth_normal(shape, face, found.u, found.v)
    hits.uv[row, column] = uv
    hits.part[row, column] = wp.uint8(strongest_part(shape, face, found.u, found.v))
    if is_skin(shape, uv):
        hits.skin[row, column] = wp.uint8(255)
