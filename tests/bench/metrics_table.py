"""``python -m tests.bench.metrics_table``: every quality metric beside a reference library.

Both see the same features or pixels. Exit code 0 only if all agree within the tolerance shown.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from core.features.torchvision_loader import load_torchvision
from core.quality.frechet import frechet_distance
from core.quality.kernel import across, kernel_distance
from core.quality.manifold import manifold
from core.quality.perceptual import Lpips
from core.quality.similarity import ms_ssim, ssim
from core.quality.vendi import vendi_score

IMAGES, DIMENSION = 400, 64
EXACT = 1e-12


@dataclass(frozen=True, slots=True)
class Agreement:
    """One metric: ours, theirs, and how far they may differ; ``unit`` says of what."""

    metric: str
    library: str
    ours: float
    theirs: float
    tolerance: float
    unit: str = "absolute"

    @property
    def ok(self) -> bool:
        return abs(self.ours - self.theirs) <= self.tolerance


def of_features() -> Iterator[Agreement]:
    import torch
    from prdc import compute_prdc
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torchmetrics.image.fid import _compute_fid
    from vendi_score import vendi

    rng = np.random.default_rng(0)
    mix = rng.normal(size=(DIMENSION, DIMENSION)) / 8
    a, b = rng.normal(size=(IMAGES, DIMENSION)) @ mix, rng.normal(0.2, 1, (IMAGES, DIMENSION)) @ mix
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    parts = [fid_features_to_statistics(v) for v in (x, y)]
    theirs = fid_statistics_to_metric(*parts, verbose=False)["frechet_inception_distance"]
    own = frechet_distance(a, b)
    frechet = (1e-6 * own.scale, "1e-6 (tr S1 + tr S2)")
    yield Agreement("Frechet distance", "torch-fidelity", own.value, theirs, *frechet)
    moments = [(v.mean(dim=0), torch.cov(v.T)) for v in (x, y)]
    theirs = float(_compute_fid(*moments[0], *moments[1]))
    yield Agreement("Frechet distance", "torchmetrics", own.value, theirs, *frechet)
    subset = {"kid_subsets": 1, "kid_subset_size": IMAGES, "verbose": False}
    theirs = kid_features_to_metric(x, y, **subset)["kernel_inception_distance_mean"]
    kernel = (1e-6 * float(across(a, b)[0]), "1e-6 x mean kernel")
    for name, values in (("KID", (a, b)), ("KID, float32", (a.astype("f4"), b.astype("f4")))):
        value = float(kernel_distance(*values)[0])
        yield Agreement(name, "torch-fidelity", value, theirs, *kernel)
    found, reference = manifold(a, b), compute_prdc(a, b, 5)
    for name in ("precision", "recall", "density", "coverage"):
        value = float(getattr(found, name).mean())
        yield Agreement(f"{name}, k = 5", "prdc", value, float(reference[name]), EXACT)
    for count in (40, IMAGES):
        theirs = float(vendi.score_X(a[:count]))
        name = f"Vendi score, n {'<' if count < DIMENSION else '>'} d"
        tolerance = (1e-9 * theirs, "1e-9 x value")
        yield Agreement(name, "vendi-score", vendi_score(a[:count]), theirs, *tolerance)


def of_pixels() -> Iterator[Agreement]:
    import torch
    from pytorch_msssim import ms_ssim as their_ms_ssim
    from skimage.metrics import structural_similarity

    a, b = _pictures()
    settings: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "data_range": 255}
    settings |= {"use_sample_covariance": False, "channel_axis": -1}
    theirs = float(structural_similarity(a, b, **settings))  # type: ignore[no-untyped-call]
    yield Agreement("SSIM", "scikit-image", ssim(a, b) or 0, theirs, 1e-6)
    x, y = (torch.from_numpy(v.astype(np.float64)).permute(2, 0, 1)[None] for v in (a, b))
    theirs = float(their_ms_ssim(x, y, data_range=255.0))
    yield Agreement("MS-SSIM", "pytorch-msssim", ms_ssim(a, b) or 0, theirs, 5e-6)
    yield _lpips(a, b)


def _lpips(a: np.ndarray, b: np.ndarray) -> Agreement:
    """Compare the networks: AlexNet of random weights below the published channel weights."""
    import lpips
    import torch

    torch.manual_seed(0)
    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = network.state_dict()
    slices = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    trunk = {
        f"features.{place}.{part}": state[f"net.slice{number}.{place}.{part}"]
        for place, number in slices.items()
        for part in ("weight", "bias")
    }
    x, y = (torch.from_numpy(v.astype("f4") / 127.5 - 1).permute(2, 0, 1)[None] for v in (a, b))
    with torch.inference_mode():
        theirs = float(network(x, y))
    value = Lpips(trunk, state)(a, b) or 0.0
    return Agreement("LPIPS network", "lpips", value, theirs, 1e-5 * theirs, "1e-5 x value")


def _pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    a = np.asarray(cv2.resize(coarse, (240, 208), interpolation=cv2.INTER_CUBIC))
    return a, np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.uint8)


def main() -> int:
    load_torchvision()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # references speak of their own old names
        rows = [*of_features(), *of_pixels()]
    table = Table("metric", "reference", "ours", "theirs", "difference", "tolerance", "of", "ok")
    for row in rows:
        difference = f"{abs(row.ours - row.theirs):.1e}"
        numbers = (f"{row.ours:.10g}", f"{row.theirs:.10g}", difference, f"{row.tolerance:.1e}")
        table.add_row(row.metric, row.library, *numbers, row.unit, "yes" if row.ok else "NO")
    Console(width=140).print(table)
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
