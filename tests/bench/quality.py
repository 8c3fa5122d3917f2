"""Frechet distance against torch-fidelity's; memory of KID, PRDC and the privacy gate."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from core.features.torchvision_loader import load_torchvision
from core.quality.frechet import frechet_distance
from tests.bench.measure import Row, bound_row
from tests.bench.memory import DIMENSION

IMAGES = 10_000
FULL_IMAGES = 50_000
GATED = 20_000
MOST_MB = 500
ROUNDS = 2


def frechet(full: bool) -> Row:
    """Compare processor seconds of both, run in turn, at 10,000 x 2048; they must agree.

    ``full``: the square root of a matrix that pytorch-fid takes, and torch-fidelity took before
    0.4, is timed beside them; covariances come on top of it.
    """
    load_torchvision()
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    rng = np.random.default_rng(0)
    spread = np.exp(rng.normal(0, 1, DIMENSION))
    first, second = (rng.normal(m, spread, (IMAGES, DIMENSION)) for m in (0.0, 0.1))
    found: dict[str, float] = {}

    def ours() -> None:
        distance = frechet_distance(first, second)
        found.update(ours=distance.value, scale=distance.scale)

    def theirs() -> None:
        parts = [fid_features_to_statistics(torch.from_numpy(x)) for x in (first, second)]
        metric = fid_statistics_to_metric(*parts, verbose=False)
        found["theirs"] = metric["frechet_inception_distance"]

    seconds = [[_processor(run) for run in (ours, theirs)] for _ in range(ROUNDS)]
    own, peer = (min(times) for times in zip(*seconds, strict=True))
    gap = abs(found["ours"] - found["theirs"]) / found["scale"]
    text = f"torch-fidelity {peer:.3g} s (processor); differ by {gap:.1e} of tr S1 + tr S2"
    if full:
        from scipy.linalg import sqrtm

        product = np.cov(first.T) @ np.cov(second.T)
        text += f"; sqrtm alone {_processor(lambda: sqrtm(product)):.3g} s"
    ratio = peer / own
    return Row("frechet", own, "s", text, ratio, ">= 8x", ratio >= 8 and gap <= 1e-6)


def _processor(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def memory(metric: str, full: bool) -> Row:
    """Measure the peak in a child process; with ``full`` at 50,000 x 2048 as well."""
    sizes = (IMAGES, FULL_IMAGES) if full else (IMAGES,)
    peaks = {n: _peak(metric, n) / 1e6 for n in sizes}
    note = ", ".join(f"{n:,} x {DIMENSION}: {mb:.0f} MB" for n, mb in peaks.items())
    return bound_row(f"{metric}_memory", max(peaks.values()), "MB", MOST_MB, note=note)


def gate(full: bool) -> Row:
    """Measure memory and processor seconds of the gate; with ``full`` at 50,000 images as well."""
    told, peaks = [], []
    for count in (GATED, FULL_IMAGES) if full else (GATED,):
        command = [sys.executable, "-m", "tests.bench.gate", str(count)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, peak = (float(word) for word in done.stdout.split())
        told.append(f"{count:,} real and as many made: {seconds:.3g} s, {peak / 1e6:.0f} MB")
        peaks.append(peak / 1e6)
    return bound_row("gate_memory", max(peaks), "MB", MOST_MB, note="; ".join(told))


def _peak(metric: str, count: int) -> int:
    command = [sys.executable, "-m", "tests.bench.memory", metric, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


ROWS: dict[str, Callable[[bool], Row]] = {
    "frechet": frechet,
    "kid_memory": lambda full: memory("kid", full),
    "prdc_memory": lambda full: memory("prdc", full),
    "gate_memory": gate,
}
