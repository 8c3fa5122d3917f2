"""Meshes that others made: checked, in metres, z up, facing -y, normals outward."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from core.ingest.rejects import Rejected
from core.rendering.body_parts import KNOWN_PARTS, PARTS_16, UNKNOWN
from core.rendering.glb_file import MAGIC, read_glb
from core.rendering.obj_file import read_obj
from core.rendering.raw_mesh import RawMesh
from core.rendering.surface import Surface

Units = Literal["auto", "m", "dm", "cm", "mm"]
Up = Literal["auto", "y", "z"]

_METRES: dict[str, float] = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001}
_SHORTEST, _TALLEST = 0.4, 2.6
"""Metres; of what is between them only one unit can be the right one."""
_LARGEST_EXTENT = 10.0
_Y_UP_FROM = 0.8
"""y is up unless z is clearly longer: most files are so."""
_DEGENERATE_SHARE = 1e-3
"""So many triangles without an area are left out; more are an error."""
_UV_SLACK = 1e-3
_VERTEX_LINE = re.compile(rb"(?m)^[ \t]*v[ \t]")
_SMALLEST_AREA = 1e-14
"""Square metres: a triangle of 0.1 micrometres is a point."""


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """How a file is to be read; ``groups`` are names of an OBJ's groups, none: all of it."""

    units: Units = "auto"
    up: Up = "auto"
    groups: tuple[str, ...] = ()
    max_pixels: int = 100_000_000


@dataclass(slots=True)
class OwnMesh:
    """A mesh that can be rendered, and what was seen of it; ``surface.texture`` came inside."""

    surface: Surface
    textured: bool
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_own_mesh(data: bytes, parts: bytes | None, options: MeshOptions) -> OwnMesh:
    """Read an OBJ or GLB file, with the part of each of its vertices; Rejected says what is wrong.

    Codes: those of :func:`read_obj` and :func:`read_glb`, and ``not_a_mesh``, ``not_finite``,
    ``degenerate_faces``, ``uv_outside``, ``unknown_units``, ``parts_length``, ``parts_invalid``.
    """
    raw = _read(data, options)
    warnings: list[str] = []
    labels = None if parts is None else read_parts(parts)
    used, triangles = np.unique(raw.triangles, return_inverse=True)
    triangles = triangles.reshape(-1, 3)
    if not np.isfinite(raw.vertices[used]).all() or not np.isfinite(raw.corner_uv).all():
        raise Rejected("not_finite", "The mesh has coordinates that are not numbers (NaN, Inf)")
    vertices, facts = _in_metres(raw, raw.vertices[used], options)
    keep = _with_area(vertices, triangles, warnings)
    triangles, corner_uv = triangles[keep], _in_square(raw.corner_uv[keep])
    triangles, corner_uv = _outward(vertices, triangles, corner_uv, warnings)
    names, weights = _part_weights(labels, len(raw.vertices), used)
    facts |= {"vertices": len(vertices), "triangles": len(triangles), "parts": list(names)}
    facts["open_edges"] = _open_edges(vertices, triangles, warnings)
    surface = Surface(
        vertices=vertices.astype(np.float32),
        normals=smooth_normals(vertices, triangles).astype(np.float32),
        triangles=triangles.astype(np.int32),
        corner_uv=corner_uv.astype(np.float32),
        part_weights=weights,
        parts=names,
        texture=raw.texture,
    )
    return OwnMesh(surface, raw.textured, facts, warnings)


def _read(data: bytes, options: MeshOptions) -> RawMesh:
    if data.startswith(MAGIC):
        if options.groups:
            raise Rejected("unknown_group", "Groups are of OBJ files; this is a GLB")
        return read_glb(data, options.max_pixels)
    if b"\0" in data[:4096] or not _VERTEX_LINE.search(data):
        raise Rejected("not_a_mesh", "The file is neither OBJ nor GLB")
    return read_obj(data, options.groups)


def _in_metres(
    raw: RawMesh, vertices: NDArray[np.float64], options: MeshOptions
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return positions in metres, z up, standing on 0, and what was taken of units and axes."""
    extent = np.ptp(vertices, axis=0)
    units = options.units if options.units != "auto" else _likely_units(float(extent.max()))
    size = extent.max() * _METRES[units]
    if not 0.01 < size < _LARGEST_EXTENT:
        raise Rejected(
            "unknown_units", f"In {units} the mesh would be {size:.3g} m large; say its units"
        )
    y_up = raw.y_up if raw.y_up is not None else bool(extent[1] >= _Y_UP_FROM * extent[2])
    if options.up != "auto":
        y_up = options.up == "y"
    turned = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], 1) if y_up else vertices
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    facts = {"units": units, "up": "y" if y_up else "z"}
    return (turned - centre) * _METRES[units], facts | {
        "extent_m": [round(float(side * _METRES[units]), 4) for side in high - low]
    }


def _likely_units(extent: float) -> str:
    for name, metres in _METRES.items():
        if _SHORTEST <= extent * metres <= _TALLEST:
            return name
    raise Rejected(
        "unknown_units",
        f"The mesh is {extent:.4g} units large, which is no body in m, dm, cm or mm; say its units",
    )


def _with_area(
    vertices: NDArray[np.float64], triangles: NDArray[np.int64], warnings: list[str]
) -> NDArray[np.bool_]:
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    keep: NDArray[np.bool_] = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 2 * _SMALLEST_AREA
    flat = int(np.sum(~keep))
    if flat > _DEGENERATE_SHARE * len(triangles):
        raise Rejected(
            "degenerate_faces",
            f"{flat} of {len(triangles)} triangles have no area; clean the mesh (merge by distance,"
            " remove degenerate faces)",
        )
    if flat:
        warnings.append(f"{flat} triangles without an area were left out")
    return keep


def _in_square(corner_uv: NDArray[np.float64]) -> NDArray[np.float64]:
    outside = np.abs(corner_uv - 0.5) > 0.5 + _UV_SLACK
    if outside.any():
        raise Rejected(
            "uv_outside",
            f"{int(outside.any(axis=(1, 2)).sum())} triangles have texture coordinates outside of "
            "[0, 1]; tiles (UDIM) and repeats are not supported: bake them into one texture",
        )
    return np.clip(corner_uv, 0.0, 1.0)


def _outward(
    vertices: NDArray[np.float64],
    triangles: NDArray[np.int64],
    corner_uv: NDArray[np.float64],
    warnings: list[str],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Turn the mesh inside out when its volume is negative."""
    a, b, c = (vertices[triangles[:, corner]] - vertices.mean(axis=0) for corner in range(3))
    if np.einsum("ij,ij->", a, np.cross(b, c)) >= 0:
        return triangles, corner_uv
    warnings.append("The faces looked inward; they were turned around")
    return triangles[:, ::-1], corner_uv[:, ::-1]


def _open_edges(
    vertices: NDArray[np.float64], triangles: NDArray[np.int64], warnings: list[str]
) -> int:
    """Count the edges that have not two faces, vertices at one place being one."""
    merged = _places(vertices)[triangles]
    sides = np.sort(np.stack([merged, np.roll(merged, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    _, times = np.unique(sides[:, 0] * len(vertices) + sides[:, 1], return_counts=True)
    count = int(np.sum(times != 2))
    if count:
        warnings.append(f"The surface is not closed: {count} edges have not two faces")
    return count


def _places(vertices: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the same number for vertices within 10 micrometres: a seam has several."""
    steps = np.round((vertices - vertices.min(axis=0)) * 1e5).astype(np.int64)  # of 10 m: 20 bits
    _, place = np.unique(steps @ np.array([1 << 42, 1 << 21, 1]), return_inverse=True)
    return place.reshape(-1)


def smooth_normals(
    vertices: NDArray[np.float64], triangles: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return unit normals (V, 3), weighted by area and smooth over seams of the texture."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    across = np.repeat(np.cross(b - a, c - a), 3, axis=0)
    place = _places(vertices)
    at = place[triangles.ravel()]
    total = np.stack([np.bincount(at, across[:, axis], len(vertices)) for axis in range(3)], 1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    up = np.array([0.0, 0.0, 1.0])  # of a vertex whose faces cancel out
    normals: NDArray[np.float64] = np.where(length > 0, total / np.where(length > 0, length, 1), up)
    return normals[place]


def read_parts(data: bytes) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Read the part of every vertex: ``{"names": [...], "vertices": [0, 3, ...]}`` as JSON, or one
    name or number a line; numbers are places in ``names``, or among the 16 parts from 0."""
    try:
        text = data.decode("utf-8")
        told = json.loads(text) if text.lstrip().startswith("{") else {"vertices": text.split()}
        names, labels = told.get("names", list(PARTS_16)), told["vertices"]
        numbers = _numbers(names, labels)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise Rejected(
            "parts_invalid",
            f"The parts are neither JSON (names, vertices) nor a name or number a line: {error!r}",
        ) from error
    if len(names) > len(KNOWN_PARTS):
        raise Rejected("parts_invalid", f"{len(names)} parts are more than there are on a body")
    if unknown := [name for name in names if name not in KNOWN_PARTS]:
        raise Rejected(
            "parts_invalid",
            f"There is no part {str(unknown[0])[:60]!r}; known: {', '.join(KNOWN_PARTS)}",
        )
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(names):
        raise Rejected("parts_invalid", f"A vertex has a part beyond the {len(names)} named")
    return tuple(names), numbers


def _numbers(names: Sequence[str], labels: Sequence[Any]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(names)}
    found = (places[label] if label in places else int(label) for label in labels)
    return np.fromiter(found, np.int64)


def _part_weights(
    labels: tuple[tuple[str, ...], NDArray[np.int64]] | None,
    vertices: int,
    used: NDArray[np.int64],
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    if labels is None:
        return (UNKNOWN,), np.ones((len(used), 1), np.float32)
    names, numbers = labels
    if len(numbers) == vertices:
        numbers = numbers[used]
    elif len(numbers) != len(used):
        raise Rejected(
            "parts_length", f"{len(numbers)} parts are given, for {vertices} vertices of the mesh"
        )
    weights = np.zeros((len(used), len(names)), np.float32)
    weights[np.arange(len(used)), numbers] = 1.0
    return names, weights
