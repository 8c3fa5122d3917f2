"""How much of each light, and of the surroundings, a point sees: on every second pixel."""

import warp as wp

from core.rendering.kernels.lights import Lights, disc_point
from core.rendering.kernels.shapes import FAR, Eye, Shape, look, smooth_normal

wp.set_module_options({"enable_backward": False})


@wp.struct
class Seen:
    """Shares seen (three lights, then the surroundings), depth and normal; depth 0: no body."""

    shares: wp.array2d[wp.vec4]
    depth: wp.array2d[float]
    normal: wp.array2d[wp.vec3]


@wp.kernel
def visibility(
    eye: Eye,
    shape: Shape,
    lights: Lights,
    first: int,
    rays: int,
    reach: float,
    seed: int,
    seen: Seen,
):
    """``first`` is the first half row; ``reach`` is how far occlusion looks, metres."""
    row, column = wp.tid()
    y = 2 * (first + row)
    x = 2 * column
    seen.depth[row, column] = 0.0
    direction = look(eye, float(x) + 0.5, float(y) + 0.5)
    found = wp.mesh_query_ray(shape.mesh, eye.origin, direction, FAR)
    if not found.result:
        return
    flat = found.normal
    if wp.dot(flat, direction) > 0.0:
        flat = -flat
    normal = smooth_normal(shape, found.face, found.u, found.v)
    start = eye.origin + direction * found.t + flat * (2.0e-4 + 2.0e-4 * found.t)
    state = wp.rand_init(seed, y * eye.width + x)
    turn = wp.vec2(wp.randf(state), wp.randf(state))
    shares = wp.vec4(1.0, 1.0, 1.0, 1.0)
    for light in range(lights.count):
        to_light = lights.place[light] - start
        if wp.dot(to_light, normal) > 0.0:
            free = float(0.0)
            for ray in range(rays):
                u = (float(ray) + turn[0]) / float(rays)
                v = turn[1] + 0.61803399 * float(ray)
                point = disc_point(wp.normalize(to_light), lights.radius[light], u, v - wp.floor(v))
                if not wp.mesh_query_ray_anyhit(shape.mesh, start, to_light + point, 1.0):
                    free += 1.0
            shares[light] = free / float(rays)
    open_sky = float(0.0)
    for ray in range(rays):
        u = (float(ray) + turn[1]) / float(rays)
        v = turn[0] + 0.61803399 * float(ray)
        point = disc_point(normal, 1.0, u, v - wp.floor(v))
        up = wp.sqrt(wp.max(1.0 - wp.dot(point, point), 0.0))
        if not wp.mesh_query_ray_anyhit(shape.mesh, start, point + normal * up, reach):
            open_sky += 1.0
    shares[3] = open_sky / float(rays)
    seen.shares[row, column] = shares
    seen.depth[row, column] = found.t
    seen.normal[row, column] = normal


@wp.func
def shares_at(seen: Seen, row: float, column: float, depth: float, normal: wp.vec3) -> wp.vec4:
    """Return the shares around a place in half pixels, of points like this one."""
    rows = seen.depth.shape[0]
    columns = seen.depth.shape[1]
    middle_row = int(row + 0.5)
    middle_column = int(column + 0.5)
    total = float(1.0e-6)
    summed = wp.vec4(1.0e-6, 1.0e-6, 1.0e-6, 1.0e-6)
    for i in range(-2, 3):
        for j in range(-2, 3):
            y = middle_row + i
            x = middle_column + j
            if y >= 0 and y < rows and x >= 0 and x < columns:
                other = seen.depth[y, x]
                if other > 0.0:
                    dy = (float(y) - row) / 2.6
                    dx = (float(x) - column) / 2.6
                    like = wp.max(1.0 - wp.abs(other - depth) / (0.03 * depth), 0.0)
                    like *= wp.max(wp.dot(normal, seen.normal[y, x]), 0.0)
                    weight = wp.max(1.0 - dy * dy - dx * dx, 0.0) * like * like + 1.0e-6
                    total += weight
                    summed += seen.shares[y, x] * weight
    return summed / total
