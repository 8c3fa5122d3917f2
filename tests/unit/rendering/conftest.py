"""What is made once: compiled kernels, and the prepared body below ``build/``."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.rendering import runtime
from core.rendering.body import Body, body_surface
from core.rendering.surface import Surface


@pytest.fixture(scope="session", autouse=True)
def _warp() -> None:
    runtime.start()


@pytest.fixture(scope="session")
def bodies() -> Path:
    return Path("build/bodies").resolve()


@pytest.fixture(scope="session")
def standing(bodies: Path) -> Surface:
    return body_surface(Body(), bodies)
