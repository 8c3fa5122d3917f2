"""Every hostile mesh is refused with a code, by a process that does not take ours along."""

from __future__ import annotations

import pytest

from core.ingest.decoder import DecoderLimits
from core.ingest.foreign_mesh import read_foreign_mesh
from core.ingest.rejects import Rejected
from core.rendering.own_mesh import MeshOptions
from tests.security.meshes import MESHES

LIMITS = DecoderLimits(memory_bytes=2 * 1024**3, cpu_seconds=30, seconds=240.0)


@pytest.mark.parametrize("name", MESHES)
def test_mesh(name: str) -> None:
    make, codes = MESHES[name]
    found = read_foreign_mesh(make(), None, MeshOptions(max_pixels=10_000_000), LIMITS)
    assert isinstance(found, Rejected)
    assert found.code in codes
