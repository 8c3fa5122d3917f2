"""Wavefront OBJ: positions, texture coordinates and faces, read as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.ingest.rejects import Rejected
from core.rendering.raw_mesh import MAX_TRIANGLES, RawMesh, no_uv, too_many

_MOST_NAMED = 12


@dataclass(slots=True)
class _Lines:
    """The lines that matter, without their keyword."""

    positions: list[bytes] = field(default_factory=list)
    texture: list[bytes] = field(default_factory=list)
    faces: list[bytes] = field(default_factory=list)
    groups: dict[str, None] = field(default_factory=dict)
    material: bool = False


def read_obj(data: bytes, groups: Sequence[str] = ()) -> RawMesh:
    """Read an OBJ file; only faces in one of ``groups``, when any are named.

    Polygons become fans of triangles. Normals, lines, points and curves are passed over. Rejected
    ``mesh_damaged``, ``mesh_without_uv``, ``mesh_empty``, ``unknown_group``, ``mesh_too_large``.
    """
    lines = _sorted(data, frozenset(groups))
    if missing := [name for name in groups if name not in lines.groups]:
        known = ", ".join(list(lines.groups)[:_MOST_NAMED]) or "none"
        raise Rejected(
            "unknown_group", f"The file has no group {', '.join(missing)}; its groups: {known}"
        )
    if not lines.faces:
        raise Rejected("mesh_empty", "The file has no faces")
    positions = _table(lines.positions, "v", 3)
    corners, sizes = _corners(lines)
    uv = _table(lines.texture, "vt", 2)
    fans = _fans(sizes)
    vertex = _indices(corners[:, 0], len(positions), "vertex")
    texture = _indices(corners[:, 1], len(uv), "texture coordinate")
    return RawMesh(
        vertices=positions,
        triangles=vertex[fans],
        corner_uv=uv[texture[fans]],
        textured=lines.material,
    )


def _sorted(data: bytes, wanted: frozenset[str]) -> _Lines:
    lines = _Lines()
    kept = not wanted
    for line in data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines():
        keyword, rest = (*line.split(None, 1), b"", b"")[:2]
        if keyword == b"f":
            if kept:
                lines.faces.append(rest if b"-" not in rest else _absolute(rest, lines))
        elif keyword == b"v":
            lines.positions.append(rest)
        elif keyword == b"vt":
            lines.texture.append(rest)
        elif keyword in (b"g", b"o"):
            names = rest.decode("utf-8", "replace").split()
            lines.groups.update(dict.fromkeys(names))
            kept = not wanted or not wanted.isdisjoint(names)
        elif keyword in (b"mtllib", b"usemtl"):
            lines.material = True
    return lines


def _absolute(face: bytes, lines: _Lines) -> bytes:
    """Return a face that counts from the end with numbers that count from the start."""
    counts = (len(lines.positions), len(lines.texture), 0)
    corners = []
    for corner in face.split():
        numbers = corner.split(b"/")
        for place, number in enumerate(numbers[:3]):
            if number.startswith(b"-"):
                numbers[place] = b"%d" % (counts[place] + 1 + _number(number))
        corners.append(b"/".join(numbers))
    return b" ".join(corners)


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise Rejected("mesh_damaged", f"{text[:40]!r} is not an index of a face") from None


def _table(lines: list[bytes], keyword: str, columns: int) -> NDArray[np.float64]:
    """Return the first columns of lines that all have as many numbers."""
    if not lines:
        return np.empty((0, columns))
    width = len(lines[0].split())
    try:
        numbers = np.array(b" ".join(lines).split(), np.float64)
    except ValueError as error:
        raise Rejected("mesh_damaged", f"A line {keyword!r} is not of numbers: {error}") from error
    if width < columns or len(numbers) != width * len(lines):
        raise Rejected(
            "mesh_damaged", f"Lines {keyword!r} have not all the same {columns} or more numbers"
        )
    return numbers.reshape(-1, width)[:, :columns]


def _corners(lines: _Lines) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (position, texture coordinate) of every corner, and the corners of every face."""
    sizes = np.array([len(face.split()) for face in lines.faces])
    if sizes.min() < 3:
        raise Rejected("mesh_damaged", "A face has fewer than three corners")
    if int((sizes - 2).sum()) > MAX_TRIANGLES:
        raise too_many(int((sizes - 2).sum()))
    joined = b" ".join(lines.faces)
    slashes, corners = joined.count(b"/"), int(sizes.sum())
    if b"//" in joined or slashes < corners:
        raise no_uv()
    try:
        numbers = np.array(joined.replace(b"/", b" ").split(), np.int64)
    except (ValueError, OverflowError) as error:
        raise Rejected("mesh_damaged", f"A face is not of indices: {error}") from error
    width = 1 + slashes // corners
    if slashes % corners or width > 3 or len(numbers) != width * corners:
        raise Rejected("mesh_damaged", "The corners of faces have not all the same form")
    return numbers.reshape(-1, width)[:, :2], sizes


def _indices(numbers: NDArray[np.int64], count: int, thing: str) -> NDArray[np.int64]:
    """Return indices from 0; they count from 1 in the file."""
    if numbers.min() < 1 or numbers.max() > count:
        raise Rejected("mesh_damaged", f"A face names a {thing} beyond the {count} there are")
    return numbers - 1


def _fans(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the corners (F, 3) of the triangles of faces that lie one after the other."""
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    of_face = np.repeat(np.arange(len(sizes)), sizes - 2)
    first = np.concatenate([[0], np.cumsum(sizes - 2)[:-1]])
    step = np.arange(len(of_face)) - first[of_face] + 1
    origin = starts[of_face]
    return np.stack([origin, origin + step, origin + step + 1], axis=1)
