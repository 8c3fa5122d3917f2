"""What kernels share: the eye, the surface, and how a hit is read from them."""

import warp as wp

wp.set_module_options({"enable_backward": False})

FAR = wp.constant(1.0e4)
"""Metres beyond which nothing is looked for."""


@wp.struct
class Eye:
    """A pinhole camera: x to the right, y down, z forward; pixels have their centre at +0.5."""

    origin: wp.vec3
    right: wp.vec3
    down: wp.vec3
    forward: wp.vec3
    focal: float
    centre_x: float
    centre_y: float
    width: int
    height: int


@wp.struct
class Shape:
    """A surface on the device."""

    mesh: wp.uint64
    points: wp.array[wp.vec3]
    triangles: wp.array[wp.vec3i]
    normals: wp.array[wp.vec3]
    corner_uv: wp.array2d[wp.vec2]
    weights: wp.array2d[float]
    strongest: wp.array[wp.int32]
    parts: int
    non_skin: wp.array2d[wp.uint8]
    masked: int


@wp.func
def look(eye: Eye, x: float, y: float) -> wp.vec3:
    """Return the direction through image coordinates, with 1 along the axis: t is depth."""
    across = (x - eye.centre_x) / eye.focal
    down = (y - eye.centre_y) / eye.focal
    return eye.right * across + eye.down * down + eye.forward


@wp.func
def smooth_normal(shape: Shape, face: int, u: float, v: float) -> wp.vec3:
    corner = shape.triangles[face]
    return wp.normalize(
        shape.normals[corner[0]] * u
        + shape.normals[corner[1]] * v
        + shape.normals[corner[2]] * (1.0 - u - v)
    )


@wp.func
def texture_uv(shape: Shape, face: int, u: float, v: float) -> wp.vec2:
    return (
        shape.corner_uv[face, 0] * u
        + shape.corner_uv[face, 1] * v
        + shape.corner_uv[face, 2] * (1.0 - u - v)
    )


@wp.func
def strongest_part(shape: Shape, face: int, u: float, v: float) -> int:
    """Return the part with the largest interpolated weight, the first one of equals.

    A part that is the strongest at all corners is so in between.
    """
    corner = shape.triangles[face]
    part = shape.strongest[corner[0]]
    if part == shape.strongest[corner[1]] and part == shape.strongest[corner[2]]:
        return part
    w = 1.0 - u - v
    best = int(0)
    most = float(-1.0)
    for other in range(shape.parts):
        weight = (
            shape.weights[corner[0], other] * u
            + shape.weights[corner[1], other] * v
            + shape.weights[corner[2], other] * w
        )
        if weight > most:
            most = weight
            best = other
    return best


@wp.func
def is_skin(shape: Shape, uv: wp.vec2) -> bool:
    """Return whether the mask of what is not skin is off at ``uv`` (v up): half way between texels.

    Bilinear, so that borders are lines and not the stairs of texels.
    """
    if shape.masked == 0:
        return True
    rows = shape.non_skin.shape[0]
    columns = shape.non_skin.shape[1]
    x = wp.clamp(uv[0] * float(columns) - 0.5, 0.0, float(columns) - 1.0)
    y = wp.clamp((1.0 - uv[1]) * float(rows) - 0.5, 0.0, float(rows) - 1.0)
    j = int(x)
    i = int(y)
    j1 = wp.min(j + 1, columns - 1)
    i1 = wp.min(i + 1, rows - 1)
    u = x - float(j)
    v = y - float(i)
    high = float(shape.non_skin[i, j]) * (1.0 - u) + float(shape.non_skin[i, j1]) * u
    low = float(shape.non_skin[i1, j]) * (1.0 - u) + float(shape.non_skin[i1, j1]) * u
    return high * (1.0 - v) + low * v < 127.5
