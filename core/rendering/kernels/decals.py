"""Lesions laid on a surface: where on a lesion a point lies, and what it absorbs there."""

import warp as wp

from core.rendering.kernels.primary import Hits
from core.rendering.kernels.shapes import Shape, is_skin, smooth_normal, texture_uv

wp.set_module_options({"enable_backward": False})

HIDDEN = wp.constant(0.1)
"""Cosine between the normals of a point and of the lesion's centre below which none is shown."""
OUTSIDE = wp.constant(0)
ON_SKIN = wp.constant(1)
MISSED = wp.constant(2)
OFF_SKIN = wp.constant(3)


@wp.struct
class Decals:
    """Per lesion: centre, normal, axes across and down, reach and texel in metres, and a texture.

    Textures stand behind each other in ``texels`` from ``start``: density, and 1 inside the lesion.
    """

    count: int
    centre: wp.array[wp.vec3]
    normal: wp.array[wp.vec3]
    across: wp.array[wp.vec3]
    down: wp.array[wp.vec3]
    reach: wp.array[float]
    texel: wp.array[float]
    start: wp.array[int]
    rows: wp.array[int]
    columns: wp.array[int]
    texels: wp.array[wp.vec4]


@wp.func
def unrolled(decals: Decals, number: int, position: wp.vec3, normal: wp.vec3) -> wp.vec3:
    """Return where a point lies on the lesion, metres across and down, and 1 if it can.

    The tangent plane shortens what bends away from it; chord and arc give the length back.
    """
    away = position - decals.centre[number]
    chord = wp.length(away)
    if chord > decals.reach[number]:
        return wp.vec3(0.0, 0.0, 0.0)
    cosine = wp.dot(normal, decals.normal[number])
    if cosine < HIDDEN:
        return wp.vec3(0.0, 0.0, 0.0)
    x = wp.dot(away, decals.across[number])
    y = wp.dot(away, decals.down[number])
    flat = wp.sqrt(x * x + y * y)
    if flat < 1.0e-7:
        return wp.vec3(x, y, 1.0)
    half = 0.5 * wp.acos(wp.min(cosine, 1.0))
    stretch = chord / flat
    if half > 1.0e-3:
        stretch *= half / wp.sin(half)
    return wp.vec3(x * stretch, y * stretch, 1.0)


@wp.func
def texel_at(decals: Decals, number: int, place: wp.vec3) -> wp.vec4:
    """Return the bilinear texel at a place on the lesion, zero beyond its texture."""
    rows = decals.rows[number]
    columns = decals.columns[number]
    x = place[0] / decals.texel[number] + 0.5 * float(columns) - 0.5
    y = place[1] / decals.texel[number] + 0.5 * float(rows) - 0.5
    if x < 0.0 or y < 0.0 or x > float(columns) - 1.0 or y > float(rows) - 1.0:
        return wp.vec4(0.0, 0.0, 0.0, 0.0)
    i = wp.min(int(y), rows - 2)
    j = wp.min(int(x), columns - 2)
    v = y - float(i)
    u = x - float(j)
    first = decals.start[number] + i * columns + j
    low = decals.texels[first] * (1.0 - u) + decals.texels[first + 1] * u
    high = decals.texels[first + columns] * (1.0 - u) + decals.texels[first + columns + 1] * u
    return low * (1.0 - v) + high * v


@wp.kernel
def lay_decals(
    hits: Hits,
    decals: Decals,
    density: wp.array2d[wp.vec3],
    instance: wp.array2d[wp.int32],
):
    """``instance`` is 1 + the lesion's number where the pixel's centre lies inside it, else 0."""
    row, column = wp.tid()
    if hits.face[row, column] < 0 or hits.skin[row, column] == wp.uint8(0):
        return
    position = hits.position[row, column]
    normal = hits.normal[row, column]
    summed = wp.vec3(0.0, 0.0, 0.0)
    for number in range(decals.count):
        place = unrolled(decals, number, position, normal)
        if place[2] > 0.5:
            found = texel_at(decals, number, place)
            summed += wp.vec3(found[0], found[1], found[2])
            if found[3] >= 0.5:
                instance[row, column] = number + 1
    density[row, column] = summed


@wp.kernel
def probe(
    shape: Shape,
    decals: Decals,
    side: int,
    area: wp.array3d[float],
    height: wp.array3d[float],
    state: wp.array3d[int],
):
    """Look down on each place in a grid: the skin's area inside the lesion, and how flat it is."""
    number, i, j = wp.tid()
    width = 2.0 * decals.reach[number]
    cell = width / float(side)
    x = (float(j) + 0.5) * cell - 0.5 * width
    y = (float(i) + 0.5) * cell - 0.5 * width
    state[number, i, j] = OUTSIDE
    normal = decals.normal[number]
    start = decals.centre[number] + decals.across[number] * x + decals.down[number] * y
    lift = decals.reach[number]
    found = wp.mesh_query_ray(shape.mesh, start + normal * lift, -normal, 2.0 * lift)
    missed = not found.result
    if found.result:
        missed = wp.dot(found.normal, normal) <= 0.0
    if missed:
        if x * x + y * y < lift * lift:
            state[number, i, j] = MISSED
        return
    position = start + normal * (lift - found.t)
    bent = smooth_normal(shape, found.face, found.u, found.v)
    height[number, i, j] = lift - found.t
    place = unrolled(decals, number, position, bent)
    if place[2] < 0.5:
        return
    inside = texel_at(decals, number, place)
    state[number, i, j] = ON_SKIN
    if not is_skin(shape, texture_uv(shape, found.face, found.u, found.v)):
        state[number, i, j] = OFF_SKIN
    if inside[3] >= 0.5:
        area[number, i, j] = cell * cell / wp.max(wp.abs(wp.dot(found.normal, normal)), 0.05)
