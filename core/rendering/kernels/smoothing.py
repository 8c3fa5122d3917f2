"""Shares seen on every second pixel: evened out, and read in between, by what is alike."""

import warp as wp

from core.rendering.kernels.visibility import Seen

wp.set_module_options({"enable_backward": False})

LEAST = wp.constant(1.0e-6)
"""Weight of what is not alike: it counts where nothing is."""


@wp.func
def alike(depth: float, normal: wp.vec3, other_depth: float, other_normal: wp.vec3) -> float:
    """Return 1 for a point at the same depth that faces the same way, towards 0 for others."""
    like = wp.max(1.0 - wp.abs(other_depth / depth - 1.0) * 33.0, 0.0)
    like *= wp.max(wp.dot(normal, other_normal), 0.0)
    return like * like


@wp.kernel
def smooth_shares(seen: Seen, across: bool, shares: wp.array2d[wp.vec4], even: wp.array2d[wp.vec4]):
    """``even`` is the mean of ``shares`` over five points in a row (or column) like this one."""
    row, column = wp.tid()
    depth = seen.depth[row, column]
    if depth == 0.0:
        return
    rows = seen.depth.shape[0]
    columns = seen.depth.shape[1]
    normal = seen.normal[row, column]
    total = float(LEAST)
    summed = wp.vec4(LEAST, LEAST, LEAST, LEAST)
    for step in range(-2, 3):
        y = wp.where(across, row, row + step)
        x = wp.where(across, column + step, column)
        if y >= 0 and y < rows and x >= 0 and x < columns:
            other = seen.depth[y, x]
            if other > 0.0:
                like = alike(depth, normal, other, seen.normal[y, x])
                weight = (1.0 - float(step * step) / 7.0) * like + LEAST
                total += weight
                summed += shares[y, x] * weight
    even[row, column] = summed / total


@wp.func
def shares_at(seen: Seen, row: float, column: float, depth: float, normal: wp.vec3) -> wp.vec4:
    """Return the shares at a place in half pixels, of the nearest four that are like this point."""
    rows = seen.depth.shape[0]
    columns = seen.depth.shape[1]
    top = int(row)
    left = int(column)
    total = float(LEAST)
    summed = wp.vec4(LEAST, LEAST, LEAST, LEAST)
    for i in range(2):
        for j in range(2):
            y = wp.min(top + i, rows - 1)
            x = wp.min(left + j, columns - 1)
            other = seen.depth[y, x]
            if other > 0.0:
                near = (1.0 - wp.abs(float(y) - row)) * (1.0 - wp.abs(float(x) - column))
                like = alike(depth, normal, other, seen.normal[y, x])
                weight = wp.max(near, 0.0) * like + LEAST
                total += weight
                summed += seen.even[y, x] * weight
    return summed / total
