"""Bodies: a shape and a pose, sampled from a seed, as a surface that can be rendered.

The coarse quads of ``anny`` are about 27 mm long; two Catmull-Clark levels make 438,720 triangles,
whose depth is within 0.25 mm of the next level's. What does not depend on the body (the matrix, the
texture coordinates, the parts, the masks) is made once a process and shared by its bodies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.pointers import invalid
from core.rendering.anny_model import AnnyModel, load_model
from core.rendering.body_parts import PARTS, part_weights
from core.rendering.non_skin import covering, load_materials
from core.rendering.posing import Pose, sample_pose, turns
from core.rendering.subdivision import Refinement, bilinear, catmull_clark, split
from core.rendering.surface import Surface

LEVELS = 2
_AGES = ((0.0, 1.0, 10.0, 25.0, 90.0), (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0))
"""Years, and the model's anchors of newborn, baby, child, young and old."""
_EITHER = 0.12
"""Beta parameter: most bodies are near one end, as most people's are; few lie between."""
_EVEN_STEPS = 40
_BRA_FROM = 0.5
_BRA_AGE = 10.0

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """Phenotype in [0, 1] but for the age: gender 0 is male, 1 female; height and weight are those
    of MakeHuman's scales, for the age and gender."""

    gender: float = 0.5
    age_years: float = 25.0
    muscle: float = 0.5
    weight: float = 0.5
    height: float = 0.5
    proportions: float = 0.5


@dataclass(frozen=True, slots=True)
class BodyRanges:
    """From where bodies are sampled, (low, high); ``pose`` scales the ranges of the joints."""

    gender: Range = (0.0, 1.0)
    age_years: Range = (18.0, 85.0)
    muscle: Range = (0.3, 0.75)
    weight: Range = (0.3, 1.0)
    height: Range = (0.25, 0.55)
    proportions: Range = (0.2, 0.8)
    pose: float = 1.0

    def __post_init__(self) -> None:
        for name in _SHAPE_FIELDS:
            low, high = getattr(self, name)
            most = _AGES[0][-1] if name == "age_years" else 1.0
            if not 0.0 <= low <= high <= most:
                raise invalid(f"/{name}", f"{name} is [{low}, {high}]; 0 <= low <= high <= {most}")
        if not 0.0 <= self.pose <= 1.0:
            raise invalid("/pose", f"pose is {self.pose}; it lies between 0 (standing) and 1")


_SHAPE_FIELDS = tuple(entry.name for entry in fields(Shape))


@dataclass(frozen=True, slots=True)
class Body:
    """One subject: everything that its surface follows from."""

    shape: Shape = field(default_factory=Shape)
    pose: Pose = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the body as JSON: angles in degrees by joint."""
        return {"shape": asdict(self.shape), "pose": {k: list(v) for k, v in self.pose.items()}}


def sample_body(seed: int, ranges: BodyRanges | None = None) -> Body:
    """Return the body of a seed: the same for the same seed and ranges."""
    ranges = ranges or BodyRanges()
    rng = np.random.default_rng([seed, 0xB0D1])
    shape = {}
    for name in _SHAPE_FIELDS:
        low, high = getattr(ranges, name)
        drawn = rng.beta(_EITHER, _EITHER) if name == "gender" else rng.uniform()
        shape[name] = round(float(low + (high - low) * drawn), 4)
    return Body(Shape(**shape), sample_pose(rng, ranges.pose))


def body_surface(body: Body, folder: Path) -> Surface:
    """Return the surface of a body that stands on z = 0; ``folder`` keeps what is prepared once."""
    model, static = load_model(folder), _static(folder)
    coarse = model.positions(_phenotype(body.shape), turns(body.pose))
    fine = static.refinement.matrix @ coarse
    fine[:, 2] -= fine[:, 2].min()
    return Surface(
        vertices=fine.astype(np.float32),
        normals=vertex_normals(fine, static.refinement.quads).astype(np.float32),
        triangles=static.triangles,
        corner_uv=static.corner_uv,
        part_weights=static.part_weights,
        parts=PARTS,
        texture=None,
        non_skin=static.non_skin[wears_bra(body.shape)],
    )


def prepare(folder: Path) -> None:
    """Prepare in ``folder`` what bodies are made of, unless it is there: about 30 s and 1.8 GB."""
    _static(folder)


def wears_bra(shape: Shape) -> bool:
    """Tell whether the body is shown with underwear on its chest."""
    return shape.gender >= _BRA_FROM and shape.age_years >= _BRA_AGE


def materials(body: Body, folder: Path) -> NDArray[np.uint8]:
    """Return what lies where in texture space (H, W), row 0 at the top: numbers of MATERIALS."""
    return _static(folder).materials[wears_bra(body.shape)]


@dataclass(frozen=True, slots=True)
class _Static:
    """What all bodies share; the last two are for bodies without and with a bra."""

    refinement: Refinement
    triangles: NDArray[np.int32]
    corner_uv: NDArray[np.float32]
    part_weights: NDArray[np.float32]
    materials: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    non_skin: tuple[NDArray[np.uint8], NDArray[np.uint8]]


@lru_cache(maxsize=2)
def _static(folder: Path) -> _Static:
    model = load_model(folder)
    refinement = catmull_clark(model.quads, model.vertex_count, LEVELS)
    bare, dressed = load_materials(folder, model, LEVELS)
    shared = _Static(
        refinement=refinement,
        triangles=split(refinement.quads),
        corner_uv=split(bilinear(model.corner_uv, LEVELS)).astype(np.float32),
        part_weights=_parts(model, refinement),
        materials=(bare, dressed),
        non_skin=(covering(bare), covering(dressed)),
    )
    kept = (shared.triangles, shared.corner_uv, shared.part_weights)
    for array in (*kept, *shared.materials, *shared.non_skin):
        array.setflags(write=False)
    return shared


def _parts(model: AnnyModel, refinement: Refinement) -> NDArray[np.float32]:
    """Return part weights (V', 18), refined as the surface is, so that their borders are smooth."""
    rest = model.positions({}, {})
    weights = part_weights(model.bones, model.bone_weights(), _backness(model, rest))
    fine = np.clip(refinement.matrix @ weights, 0.0, None)
    shares: NDArray[np.float32] = (fine / fine.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _backness(model: AnnyModel, rest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of a vertex is back, in [0, 1]: by its rest normal, evened out around it.

    Without that, folds (below the breasts, between the buttocks) would be islands of the other
    side.
    """
    from scipy import sparse

    normal_y = vertex_normals(rest, model.quads)[:, 1]
    sides = np.stack([model.quads, np.roll(model.quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    ones = np.ones(len(sides))
    near = sparse.csr_matrix((ones, (sides[:, 0], sides[:, 1])), (len(rest), len(rest)))
    near = near + near.T
    mean = sparse.diags(1 / np.asarray(near.sum(axis=1)).ravel()) @ near
    for _ in range(_EVEN_STEPS):
        normal_y = (normal_y + mean @ normal_y) / 2
    backness: NDArray[np.float64] = (1 + np.clip(normal_y, -1, 1)) / 2
    return backness


def vertex_normals(vertices: NDArray[np.float64], quads: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return unit normals (V, 3) of a quad mesh, each face weighted by its area."""
    across = np.cross(
        vertices[quads[:, 2]] - vertices[quads[:, 0]], vertices[quads[:, 3]] - vertices[quads[:, 1]]
    )
    total = np.stack(
        [
            np.bincount(quads.ravel(), np.repeat(across[:, axis], 4), len(vertices))
            for axis in range(3)
        ],
        axis=1,
    )
    normals: NDArray[np.float64] = total / np.linalg.norm(total, axis=1, keepdims=True)
    return normals


def _phenotype(shape: Shape) -> Mapping[str, float]:
    values = asdict(shape)
    years = values.pop("age_years")
    return values | {"age": float(np.interp(years, *_AGES))}
