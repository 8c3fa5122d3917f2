"""Single rays: what each of them meets first."""

import warp as wp

from core.rendering.kernels.shapes import FAR

wp.set_module_options({"enable_backward": False})


@wp.kernel
def rays(
    mesh: wp.uint64,
    origins: wp.array[wp.vec3],
    directions: wp.array[wp.vec3],
    faces: wp.array[int],
    distances: wp.array[float],
    bary: wp.array[wp.vec2],
):
    """``faces`` is -1 where nothing is met, and -2 - face where a face is met from behind."""
    number = wp.tid()
    direction = wp.normalize(directions[number])
    found = wp.mesh_query_ray(mesh, origins[number], direction, FAR)
    faces[number] = -1
    if not found.result:
        return
    face = found.face
    if wp.dot(found.normal, direction) > 0.0:
        face = -2 - face
    faces[number] = face
    distances[number] = found.t
    bary[number] = wp.vec2(found.u, found.v)
