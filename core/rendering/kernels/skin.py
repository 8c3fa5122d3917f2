"""The colour and the relief of skin at a point."""

import warp as wp

from core.rendering.kernels.lattice import look_up

wp.set_module_options({"enable_backward": False})

PALE = wp.constant(0.02)
"""Melanin that varies even in skin that has almost none."""


@wp.struct
class Skin:
    """The table of colours, pigments, strengths of variation, and its place.

    melanin is a volume fraction, log_blood the log of one over the least of the table.
    """

    table: wp.array2d[wp.vec3]
    tone: wp.array3d[wp.vec4]
    relief: wp.array3d[wp.vec4]
    spots: wp.array3d[wp.vec4]
    turn: wp.mat33
    offset: wp.vec3
    melanin: float
    log_blood: float
    least: wp.vec2
    steps_per_log: wp.vec2
    mottle_melanin: float
    mottle_blood: float
    fine: float
    freckles: float
    veins: float
    depth: float
    flat: float
    pores: float


@wp.struct
class Patch:
    """Albedo (linear sRGB), and the slope of the relief in the world."""

    albedo: wp.vec3
    slope: wp.vec3


@wp.func
def shown(wave: float, pixel: float) -> float:
    """Return how much of a wave (metres) is seen at a pixel's size: none below two pixels."""
    return wp.clamp(wave / (2.0 * pixel) - 1.0, 0.0, 1.0)


@wp.func
def colour_at(table: wp.array2d[wp.vec3], row: float, column: float) -> wp.vec3:
    rows = table.shape[0]
    columns = table.shape[1]
    y = wp.clamp(row, 0.0, float(rows) - 1.001)
    x = wp.clamp(column, 0.0, float(columns) - 1.001)
    i = int(y)
    j = int(x)
    v = y - float(i)
    u = x - float(j)
    low = table[i, j] * (1.0 - u) + table[i, j + 1] * u
    high = table[i + 1, j] * (1.0 - u) + table[i + 1, j + 1] * u
    return low * (1.0 - v) + high * v


@wp.func
def furrows(skin: Skin, place: wp.vec3, period: float, stretch: float, height: float) -> wp.vec4:
    """Return height (0..1 times) and slope in the world of a net of furrows; metres."""
    scaled = wp.vec3(place[0] * stretch, place[1], place[2]) / period
    found = look_up(skin.relief, scaled)
    local = wp.vec3(found[1] * stretch, found[2], found[3]) * (height / period)
    slope = wp.transpose(skin.turn) * local
    return wp.vec4(found[0], slope[0], slope[1], slope[2])


@wp.func
def skin_at(skin: Skin, position: wp.vec3, pixel: float) -> Patch:
    place = skin.turn * position + skin.offset
    wide = look_up(skin.tone, place / 0.41)
    middle = look_up(skin.tone, place / 0.083 + wp.vec3(0.37, 0.11, 0.73))
    melanin = skin.mottle_melanin * (0.6 * wide[0] + 0.5 * middle[0])
    blood = skin.mottle_blood * (0.7 * wide[1] + 0.8 * middle[1])
    spot = float(0.0)
    slope = wp.vec3(0.0, 0.0, 0.0)
    seen = shown(0.0016, pixel)
    if seen > 0.0:
        near = look_up(skin.spots, place / 0.0377 + wp.vec3(0.13, 0.57, 0.91))
        melanin += skin.fine * seen * near[2]
        blood += 1.6 * skin.fine * seen * near[3]
    seen = shown(0.0009, pixel)
    if seen > 0.0:
        bent = place + wp.vec3(middle[0], middle[1], middle[3]) * 0.0006
        net = furrows(skin, bent, 0.0089, 0.7, 0.000055 * skin.depth)
        melanin += 0.11 * skin.depth * seen * (-net[0])
        slope += wp.vec3(net[1], net[2], net[3]) * seen
    seen = shown(0.00032, pixel)
    if seen > 0.0:
        fine = furrows(
            skin, place + wp.vec3(0.0031, 0.0017, 0.0), 0.0033, 0.8, 0.000016 * skin.depth
        )
        melanin += 0.1 * skin.depth * seen * (-fine[0])
        slope += wp.vec3(fine[1], fine[2], fine[3]) * seen
    seen = skin.pores * shown(0.0006, pixel)
    if seen > 0.0:
        pits = look_up(skin.spots, place / 0.0118)
        blood -= 0.5 * seen * pits[1]
        melanin -= 0.35 * seen * pits[1]
    seen = skin.freckles * shown(0.004, pixel)
    if seen > 0.0:
        bent = place + wp.vec3(middle[3], middle[2], middle[0]) * 0.0009
        first = look_up(skin.spots, bent / 0.052 + wp.vec3(0.2, 0.4, 0.6))
        other = look_up(skin.spots, bent / 0.029 + wp.vec3(0.7, 0.1, 0.3))
        patchy = wp.clamp(0.5 + 0.8 * wide[3], 0.0, 1.0)
        spot = seen * patchy * (first[0] + 0.6 * other[0])
    pigment = skin.melanin + (skin.melanin + PALE) * (wp.exp(melanin) - 1.0) + 0.05 * spot
    row = wp.log(wp.max(pigment, skin.least[0]) / skin.least[0]) * skin.steps_per_log[0]
    column = (skin.log_blood + blood) * skin.steps_per_log[1]
    made = Patch()
    made.albedo = colour_at(skin.table, row, column)
    if skin.veins > 0.0:
        line = wide[2] / 0.12
        vein = skin.veins * wp.exp(-line * line) * wp.clamp(middle[1], 0.0, 1.0)
        made.albedo = wp.cw_mul(made.albedo, wp.vec3(1.0 - 0.10 * vein, 1.0 - 0.03 * vein, 1.0))
    made.slope = slope * skin.flat
    return made
