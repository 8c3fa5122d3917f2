"""Catmull-Clark subdivision of a quad mesh as one sparse matrix, made once a topology.

Catmull & Clark, Recursively generated B-spline surfaces on arbitrary topological meshes, 1978.
A refined mesh of positions P (V, 3) is ``matrix @ P``: the same matrix serves every body of one
topology, and every other quantity of vertices that is to be as smooth as the surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput

Quads = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Refinement:
    """``matrix`` (V', V) takes values of the coarse vertices to the fine ones; rows sum to 1.

    ``quads`` (F', 4) are the fine faces; ``4 ** levels`` consecutive ones lie in one coarse face.
    """

    matrix: Any
    quads: Quads


def catmull_clark(quads: Quads, vertices: int, levels: int) -> Refinement:
    """Refine a closed quad mesh; InvalidInput ``open_mesh`` when an edge has not two faces."""
    from scipy import sparse

    matrix = sparse.identity(vertices, format="csr")
    for _ in range(levels):
        step = _refined_once(quads, vertices)
        matrix, quads, vertices = step.matrix @ matrix, step.quads, step.matrix.shape[0]
    return Refinement(matrix.tocsr(), quads)


def _refined_once(quads: Quads, vertices: int) -> Refinement:
    from scipy import sparse

    faces = len(quads)
    ends, edge_of = _edges(quads)
    edges = len(ends)
    ones = np.ones
    corners = (np.repeat(np.arange(faces), 4), quads.ravel())
    incident = sparse.csr_matrix((ones(faces * 4), corners), (faces, vertices))
    sides = (edge_of.ravel(), np.repeat(np.arange(faces), 4))
    beside = sparse.csr_matrix((ones(faces * 4), sides), (edges, faces))
    borders = (np.repeat(np.arange(edges), 2), ends.ravel())
    ending = sparse.csr_matrix((ones(edges * 2), borders), (edges, vertices))
    centres = incident / 4
    middles = (ending + beside @ centres) / 4
    valence = np.asarray(ending.sum(axis=0)).ravel()
    # (Q + 2 R + (n - 3) S) / n: Q mean of the face points, R of the middles of the edges
    weight = sparse.diags(1 / valence**2)
    around = weight @ (incident.T @ centres) + weight @ (ending.T @ ending)
    moved = around + sparse.diags((valence - 3) / valence)
    matrix = sparse.vstack([moved, middles, centres], format="csr")
    side = vertices + edge_of
    centre = vertices + edges + np.arange(faces)
    fine = [np.stack([quads[:, i], side[:, i], centre, side[:, i - 1]], axis=1) for i in range(4)]
    return Refinement(matrix, np.stack(fine, axis=1).reshape(-1, 4).astype(np.int32))


def _edges(quads: Quads) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ends (E, 2) of the edges, and of each face's side i (from corner i) the edge."""
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2).astype(np.int64)
    ends, edge_of, times = np.unique(
        np.sort(sides, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    if not np.all(times == 2):
        open_edges = int(np.sum(times != 2))
        raise InvalidInput(
            f"The quad mesh is not closed: {open_edges} edges have not two faces", code="open_mesh"
        )
    return ends, edge_of.reshape(-1, 4)


def bilinear(corners: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """Refine values of face corners (F, 4, D) to (F * 4**levels, 4, D), in the order of the faces.

    Within its face each value is bilinear, so what was painted over a coarse face stays on it and
    values may jump between faces: texture coordinates at their seams.
    """
    for _ in range(levels):
        sides = (corners + np.roll(corners, -1, axis=1)) / 2
        centre = corners.mean(axis=1)
        fine = [
            np.stack([corners[:, i], sides[:, i], centre, sides[:, i - 1]], axis=1)
            for i in range(4)
        ]
        corners = np.stack(fine, axis=1).reshape(-1, 4, corners.shape[-1])
    return corners


def split(quads: NDArray[Any]) -> NDArray[Any]:
    """Return two triangles for each quad, (F, 4, ...) to (2 F, 3, ...), both turning as it does."""
    both = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], axis=1)
    return both.reshape(-1, *both.shape[2:])
