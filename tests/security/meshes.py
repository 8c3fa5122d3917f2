"""Hostile meshes: what each must become, by its code."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from tests.unit.rendering.meshes import ball_glb, ball_obj, packed
from tests.unit.rendering.test_own_mesh import BAD_FILES, spoilt

PIXELS = 65_000


def bomb_in_glb() -> bytes:
    """A texture whose header promises 65,000 x 65,000 pixels."""
    from tests.unit.rendering.meshes import png

    data = bytearray(png())
    data[16:24] = PIXELS.to_bytes(4, "big") * 2
    return ball_glb(bytes(data))


def polygon_of_a_million_corners() -> bytes:
    return b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf " + b"1/1 2/1 3/1 " * 400_000 + b"\n"


def too_many_triangles() -> bytes:
    corners = b"1/1 2/1 3/1 " * 1_400_000
    return b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf " + corners + b"\n"


def cycle_of_nodes() -> bytes:
    return spoilt(nodes=[{"children": [1]}, {"children": [0], "mesh": 0}])


MESHES: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    **{name.replace(" ", "-"): (lambda data=data: data, {code}) for name, (data, code) in
       BAD_FILES.items()},
    "texture-bomb": (bomb_in_glb, {"too_many_pixels", "decode_failed", "mesh_damaged"}),
    "polygon-of-a-million": (polygon_of_a_million_corners, {"degenerate_faces"}),
    "too-many-triangles": (too_many_triangles, {"mesh_too_large"}),
    "cycle-of-nodes": (
        cycle_of_nodes,
        {"mesh_damaged", "mesh_empty", "decoder_timeout", "decoder_failed"},
    ),
    "gzip-bomb": (lambda: gzip.compress(ball_obj() * 1000), {"not_a_mesh"}),
    "empty-glb": (lambda: packed(b"{}", b""), {"mesh_empty", "mesh_damaged"}),
}  # fmt: skip
