"""Tiling volumes of noise, baked once and looked up when shading."""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def look_up(volume: wp.array3d[wp.vec4], place: wp.vec3) -> wp.vec4:
    """Return the trilinear value at ``place``, in periods of the volume."""
    side = volume.shape[0]
    x = (place[0] - wp.floor(place[0])) * float(side)
    y = (place[1] - wp.floor(place[1])) * float(side)
    z = (place[2] - wp.floor(place[2])) * float(side)
    i = wp.min(int(x), side - 1)
    j = wp.min(int(y), side - 1)
    k = wp.min(int(z), side - 1)
    i1 = wp.where(i + 1 < side, i + 1, 0)
    j1 = wp.where(j + 1 < side, j + 1, 0)
    k1 = wp.where(k + 1 < side, k + 1, 0)
    u = x - float(i)
    v = y - float(j)
    w = z - float(k)
    low = (volume[i, j, k] * (1.0 - w) + volume[i, j, k1] * w) * (1.0 - v)
    low += (volume[i, j1, k] * (1.0 - w) + volume[i, j1, k1] * w) * v
    high = (volume[i1, j, k] * (1.0 - w) + volume[i1, j, k1] * w) * (1.0 - v)
    high += (volume[i1, j1, k] * (1.0 - w) + volume[i1, j1, k1] * w) * v
    return low * (1.0 - u) + high * u


@wp.func
def wrapped(cell: int, cells: int) -> int:
    return (cell + cells) % cells


@wp.kernel
def bake_cells(
    points: wp.array4d[float],
    cells: int,
    nearest: wp.array3d[float],
    second: wp.array3d[float],
    owner: wp.array3d[int],
):
    """Distances to the two nearest of one point a cell, in cells, and whose the nearest is."""
    i, j, k = wp.tid()
    side = nearest.shape[0]
    scale = float(cells) / float(side)
    here = wp.vec3(float(i) + 0.5, float(j) + 0.5, float(k) + 0.5) * scale
    ci = int(here[0])
    cj = int(here[1])
    ck = int(here[2])
    first = float(1.0e9)
    other = float(1.0e9)
    whose = int(0)
    for di in range(-1, 2):
        for dj in range(-1, 2):
            for dk in range(-1, 2):
                a = wrapped(ci + di, cells)
                b = wrapped(cj + dj, cells)
                c = wrapped(ck + dk, cells)
                x = float(ci + di) + points[a, b, c, 0]
                y = float(cj + dj) + points[a, b, c, 1]
                z = float(ck + dk) + points[a, b, c, 2]
                away = wp.length(here - wp.vec3(x, y, z))
                if away < first:
                    other = first
                    first = away
                    whose = (a * cells + b) * cells + c
                elif away < other:
                    other = away
    nearest[i, j, k] = first
    second[i, j, k] = other
    owner[i, j, k] = whose
