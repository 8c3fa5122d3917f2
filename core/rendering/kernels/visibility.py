"""How much of each light, and of the surroundings, a point sees: on every second pixel."""

import warp as wp

from core.rendering.kernels.lights import Lights, disc_point
from core.rendering.kernels.primary import Hits
from core.rendering.kernels.shapes import Eye, Shape, look

wp.set_module_options({"enable_backward": False})


@wp.struct
class Seen:
    """Shares seen (three lights, then the surroundings), depth and normal; depth 0: no body.

    ``even`` are the shares without the noise of few rays.
    """

    shares: wp.array2d[wp.vec4]
    even: wp.array2d[wp.vec4]
    depth: wp.array2d[float]
    normal: wp.array2d[wp.vec3]


@wp.kernel
def visibility(
    eye: Eye,
    shape: Shape,
    hits: Hits,
    first_row: int,
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
    face = hits.face[y - first_row, x]
    if face < 0:
        return
    depth = hits.depth[y - first_row, x]
    normal = hits.normal[y - first_row, x]
    direction = look(eye, float(x) + 0.5, float(y) + 0.5)
    flat = wp.mesh_eval_face_normal(shape.mesh, face)
    if wp.dot(flat, direction) > 0.0:
        flat = -flat
    start = hits.position[y - first_row, x] + flat * (2.0e-4 + 2.0e-4 * depth)
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
    seen.depth[row, column] = depth
    seen.normal[row, column] = normal
