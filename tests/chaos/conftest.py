"""The small campaign: every case at a tenth of its size, with short leases."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.embedded.servers import Servers
from tests.chaos.cases import CASES
from tests.chaos.sizes import SMALL
from tests.chaos.stack import Lab
from tests.chaos.tally import Tally

SEED = int(os.environ.get("SEED") or 20)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Servers that a case may kill: a module's own."""
    folder = Path(tempfile.mkdtemp(prefix="dermsynth-chaos-"))
    with Servers(folder, durable=False) as started:
        yield started
    started.remove()


@pytest.fixture
def campaign(servers: Servers, tmp_path: Path) -> Callable[[str], Tally]:
    """Run a case by name; every promise that it broke fails the test, with the seed."""

    def run(name: str) -> Tally:
        tally = Tally()
        CASES[name](Lab(servers, tmp_path, SMALL, random.Random(f"{SEED}/{name}"), tally))
        assert tally.ok, f"SEED={SEED}: {tally.row()}"
        return tally

    return run
