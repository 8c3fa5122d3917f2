"""The parametric body ``anny``, prepared once a data folder and loaded once a process.

Brégier et al., Human Mesh Modeling for Anny Body, ECCV 2026: MakeHuman's CC0 blend shapes and
weights as a differentiable model (Apache-2.0). Its raw data are 1,100 text files; what a body needs
of them is 50 MB, kept below the data folder. Nothing is downloaded: only its SMPL topologies would.
"""

from __future__ import annotations

import fcntl
import gzip
import importlib.metadata
import importlib.util
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import StorageFull, WeightsMissing
from core.rendering.runtime import BODIES_VARIABLE

if TYPE_CHECKING:
    import torch

_MICROMETRES = 1e6
PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")


class AnnyModel:
    """Positions of the coarse quad mesh for a shape and a pose."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.bones: tuple[str, ...] = tuple(network.bone_labels)
        self.quads: NDArray[np.int32] = network.faces.numpy().astype(np.int32)
        corners = network.face_texture_coordinate_indices.numpy()
        self.corner_uv: NDArray[np.float64] = network.texture_coordinates.numpy()[corners]
        """(F, 4, 2), v up."""
        self.vertex_count: int = len(network.template_vertices)

    def positions(
        self, phenotype: Mapping[str, float], turns: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return positions (V, 3) in metres, z up, facing -y, origin at the pelvis.

        ``phenotype``: PHENOTYPES in [0, 1], age from -1/3 (newborn). ``turns``: rotation matrices
        (3, 3) by bone, about the body's axes from the standing pose.
        """
        import torch

        with torch.no_grad():
            posed = self._network(
                pose_parameters=self._pose(turns) if turns else None,
                phenotype_kwargs=dict(phenotype),
            )
        exact: NDArray[np.float64] = posed["vertices"][0].numpy()
        # whole micrometres: the last bits of linear algebra differ from machine to machine
        return np.round(exact * _MICROMETRES) / _MICROMETRES

    def _pose(self, turns: Mapping[str, NDArray[np.float64]]) -> torch.Tensor:
        import torch

        pose = np.tile(np.eye(4), (1, len(self.bones), 1, 1))
        for bone, turn in turns.items():
            pose[0, self.bones.index(bone), :3, :3] = turn
        return torch.from_numpy(pose)

    def bone_weights(self) -> NDArray[np.float64]:
        """Return how much each bone moves each vertex, (V, B); rows sum to 1."""
        dense: NDArray[np.float64] = self._network.dense_vertex_bone_weights.numpy()
        return dense


def require_anny() -> None:
    """WeightsMissing when the package is not installed."""
    if importlib.util.find_spec("anny") is None:
        raise WeightsMissing(
            "The body model anny is not installed.", fix="pip install 'dermsynth3d[render]'"
        )


def data_folder() -> Path:
    """Return the folder of the package's data: masks in texture space among them."""
    require_anny()
    import anny.paths

    return Path(anny.paths.get_anny_root_dir()) / "data"


def version() -> str:
    """Return the version of the package, by which prepared files are named."""
    require_anny()
    return importlib.metadata.version("anny")


@lru_cache(maxsize=2)
def load_model(folder: Path) -> AnnyModel:
    """Return the model from its prepared file below ``folder``; prepare that when it is not there.

    To prepare it takes about 20 s of one core and 1.8 GB, once; processes wait for each other.
    """
    path = folder / f"anny-{version()}.safetensors"
    if not path.exists():
        with only_one(folder):
            if not path.exists():
                _prepare(path)
    return AnnyModel(_network(path))


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: one process prepares, the others find what it made.

    StorageFull when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("wb")
    except OSError as error:
        raise StorageFull(
            f"The body cannot be prepared in {folder}: {error}; run python -m "
            f"core.rendering.kernels as who may write there, or set {BODIES_VARIABLE} to a folder "
            "that can be written"
        ) from error
    with lock as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a file to write; it appears under ``path`` whole or not at all."""
    partial = path.with_name(f"{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield partial
        partial.chmod(0o644)  # set-up may be another user than the worker
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _prepare(path: Path) -> None:
    from anny.models import build_compact_model_data
    from anny.models.model_data import RigConfig, TopologyConfig

    with _quick_reading():
        data = build_compact_model_data(
            rig=RigConfig.from_string("anny"),
            topology=TopologyConfig(base_mesh="makehuman", triangulate_faces=False),
            local_changes="none",
            facial_actions="none",
            phenotypes="default",
        )
    with replacing(path) as partial:
        data.save_safetensors(partial)


def _network(path: Path) -> Any:
    from anny import Anny
    from anny.models.model_data import ModelData

    return Anny.from_model_data(
        ModelData.load_safetensors(path),
        skinning_method="lbs",
        pose_parameterization="local-ref",
        bone_orientation="cached",
        root_identity_orientation=False,
        phenotypes="default",
    )


@contextmanager
def _quick_reading() -> Iterator[None]:
    """Read the package's text files in 20 s instead of 150, and keep no 800 MB of its own.

    The package makes a tensor of every line and caches every step. What is put in its place reads
    the same numbers; a version that has other functions is slower, not wrong.
    """
    import anny.models.full_model as reading
    import anny.models.model_data as caching

    swaps: list[tuple[Any, str, Any]] = [
        (reading, "load_blend_shape", _blend_shape),
        (caching, "get_anny_cache_path", lambda: None),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in swaps]
    for module, name, new in swaps:
        setattr(module, name, new)
    try:
        yield
    finally:
        for module, name, old in before:
            setattr(module, name, old)


def _blend_shape(
    filename: str, vertices_count: int, world_transformation: Any, dtype: torch.dtype
) -> torch.Tensor:
    """Read lines of a vertex's number and its offset; the others do not move."""
    import torch

    with gzip.open(filename, "rb") as file:
        rows = np.array(file.read().split(), dtype=np.float64).reshape(-1, 4)
    offsets = np.zeros((vertices_count, 3))
    offsets[rows[:, 0].astype(np.int64)] = rows[:, 1:]
    moved: torch.Tensor = world_transformation.apply(torch.from_numpy(offsets).to(dtype))
    return moved
