"""Light: spheres that shine, and an environment of three colours and two soft boxes."""

import warp as wp

wp.set_module_options({"enable_backward": False})

MOST = wp.constant(3)
"""Lights of a scene."""


@wp.struct
class Lights:
    """Per sphere: place, radius (metres) and colour (irradiance at one metre).

    The environment's radiance is ``sky`` above, ``ground`` below, and two lobes of colour
    ``box_colour`` about ``box_direction``.
    """

    count: int
    place: wp.array[wp.vec3]
    radius: wp.array[float]
    colour: wp.array[wp.vec3]
    sky: wp.vec3
    ground: wp.vec3
    box_direction: wp.array[wp.vec3]
    box_colour: wp.array[wp.vec3]


@wp.func
def radiance(lights: Lights, direction: wp.vec3, sharp: bool) -> wp.vec3:
    """Return the environment's light from a direction: around it, or as a mirror shows it."""
    spread = wp.where(sharp, 0.45, 0.3)
    t = wp.clamp(0.5 + spread * direction[2], 0.0, 1.0)
    found = lights.ground * (1.0 - t) + lights.sky * t
    for box in range(2):
        facing = wp.max(wp.dot(direction, lights.box_direction[box]), 0.0)
        lobe = wp.where(sharp, facing * facing * wp.sqrt(facing), facing)
        found += lights.box_colour[box] * lobe
    return found


@wp.func
def disc_point(towards: wp.vec3, radius: float, first: float, second: float) -> wp.vec3:
    """Return a point of a disc that faces ``towards``, from two numbers in 0..1."""
    helper = wp.vec3(0.0, 0.0, 1.0)
    if wp.abs(towards[2]) > 0.9:
        helper = wp.vec3(1.0, 0.0, 0.0)
    across = wp.normalize(wp.cross(helper, towards))
    other = wp.cross(towards, across)
    away = radius * wp.sqrt(first)
    angle = 6.2831853 * second
    return across * (away * wp.cos(angle)) + other * (away * wp.sin(angle))
