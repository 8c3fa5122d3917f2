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


INSIDE = wp.constant(1.0e-3)
"""Least weight of each corner at which a point is taken for the inside of a face."""


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


@wp.func
def on_face(shape: Shape, face: int, origin: wp.vec3, direction: wp.vec3) -> wp.vec3:
    """Return where a ray meets the plane of a face: weights of its first two corners, and t.

    Moeller and Trumbore 1997.
    """
    corner = shape.triangles[face]
    third = shape.points[corner[2]]
    first = shape.points[corner[0]] - third
    second = shape.points[corner[1]] - third
    across = wp.cross(direction, second)
    volume = wp.dot(first, across)
    if volume == 0.0:
        return wp.vec3(-1.0, -1.0, 0.0)
    away = origin - third
    turned = wp.cross(away, first)
    return wp.vec3(wp.dot(away, across), wp.dot(direction, turned), wp.dot(second, turned)) / volume


@wp.func
def write(shape: Shape, eye: Eye, hits: Hits, row: int, column: int, face: int, d: wp.vec3):
    """Write what the ray along ``d`` meets on a face; the same numbers however it was found."""
    met = on_face(shape, face, eye.origin, d)
    u = wp.clamp(met[0], 0.0, 1.0)
    v = wp.clamp(met[1], 0.0, 1.0 - u)
    uv = texture_uv(shape, face, u, v)
    hits.face[row, column] = face
    hits.bary[row, column] = wp.vec2(u, v)
    hits.depth[row, column] = met[2]
    hits.position[row, column] = eye.origin + d * met[2]
    hits.normal[row, column] = smooth_normal(shape, face, u, v)
    hits.uv[row, column] = uv
    hits.part[row, column] = wp.uint8(strongest_part(shape, face, u, v))
    if is_skin(shape, uv):
        hits.skin[row, column] = wp.uint8(255)


@wp.func
def shared_face(hits: Hits, row: int, column: int, first_row: int) -> int:
    """Return the face that all pixels around with even numbers show, -1 if they differ."""
    top = row - (first_row + row) % 2
    left = column - column % 2
    bottom = wp.where(top == row, top, top + 2)
    right = wp.where(left == column, left, left + 2)
    if top < 0 or bottom >= hits.face.shape[0] or right >= hits.face.shape[1]:
        return -1
    face = hits.face[top, left]
    same = hits.face[top, right] == face and hits.face[bottom, left] == face
    if same and hits.face[bottom, right] == face:
        return face
    return -1


@wp.kernel
def primary(eye: Eye, shape: Shape, first_row: int, even: bool, hits: Hits):
    """Cast every pixel's ray: first where row and column are even, then all others.

    Between even pixels that show one face a ray that meets its inside can meet nothing else: what
    would stand before it is smaller than two pixels. The rest looks through the whole surface.
    """
    row, column = wp.tid()
    if ((first_row + row) % 2 == 0 and column % 2 == 0) != even:
        return
    direction = look(eye, float(column) + 0.5, float(first_row + row) + 0.5)
    if not even:
        face = shared_face(hits, row, column, first_row)
        if face >= 0:
            met = on_face(shape, face, eye.origin, direction)
            if met[0] > INSIDE and met[1] > INSIDE and met[0] + met[1] < 1.0 - INSIDE:
                write(shape, eye, hits, row, column, face, direction)
                return
    found = wp.mesh_query_ray(shape.mesh, eye.origin, direction, FAR)
    hits.face[row, column] = -1
    hits.part[row, column] = wp.uint8(255)
    hits.skin[row, column] = wp.uint8(0)
    if found.result:
        write(shape, eye, hits, row, column, found.face, direction)
