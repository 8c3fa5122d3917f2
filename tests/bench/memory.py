"""``python -m tests.bench.memory kid|prdc N``: bytes that a metric needs above its inputs.

Runs in a process of its own, because the peak of a process never falls.
"""

from __future__ import annotations

import resource
import sys

import numpy as np

from core.quality.kernel import kernel_distance
from core.quality.manifold import manifold
from core.quality.resampling import group_draws

DIMENSION = 2048


def peak() -> int:
    """Return the most memory that this process has ever had in RAM, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def kid(real: np.ndarray, made: np.ndarray, rng: np.random.Generator) -> None:
    """Compute the distance and the replicates of its interval, every image a group of its own."""
    names, strata = [str(i) for i in range(len(real))], ["a"] * len(real)
    draws = [group_draws(names, strata, rng) for _ in range(2)]
    found = kernel_distance(real, made, *draws)
    assert np.isfinite(found).all()


def prdc(real: np.ndarray, made: np.ndarray, _rng: np.random.Generator) -> None:
    found = manifold(real, made)
    assert np.isfinite(found.density).all()


def main() -> None:
    name, count = sys.argv[1], int(sys.argv[2])
    rng = np.random.default_rng(0)
    shape = (count, DIMENSION)
    real, made = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
    before = peak()
    {"kid": kid, "prdc": prdc}[name](real, made, rng)
    print(peak() - before)


if __name__ == "__main__":
    main()
