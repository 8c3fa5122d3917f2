"""KID agrees with torch-fidelity, and its interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest

from core.features.torchvision_loader import load_torchvision
from core.quality import kernel
from core.quality.kernel import kernel_distance


def _names(n: int, size: int = 1) -> list[str]:
    return [str(i // size) for i in range(n)]


def _kid(a: np.ndarray, b: np.ndarray, bootstrap: int = 50) -> kernel.KernelDistance:
    rng = np.random.default_rng(0)
    return kernel_distance(a, b, _names(len(a)), _names(len(b)), rng, bootstrap=bootstrap)


def test_agrees_with_torch_fidelity(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    load_torchvision()
    from torch_fidelity.metric_kid import kid_features_to_metric

    monkeypatch.setattr(kernel, "BLOCK", 17)
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(90, 24)), rng.normal(0.2, 1.1, size=(90, 24))
    theirs = kid_features_to_metric(
        torch.from_numpy(a),
        torch.from_numpy(b),
        kid_subsets=1,
        kid_subset_size=90,
        verbose=False,
    )["kernel_inception_distance_mean"]
    assert _kid(a, b).value == pytest.approx(theirs, rel=1e-10)


def test_is_unbiased_at_small_n() -> None:
    rng = np.random.default_rng(2)
    values = [
        _kid(rng.normal(size=(8, 4)), rng.normal(size=(8, 4)), bootstrap=0).value
        for _ in range(800)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_unequal_sides_work() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(30, 4)), rng.normal(3, 1, size=(70, 4))
    found = _kid(a, b)
    assert found.interval is not None
    assert 0 < found.interval[0] < found.value < found.interval[1]


def test_interval_covers_the_truth() -> None:
    """The true distance of N(0, 1) and N(0.5, 1), from a large sample, in most intervals."""
    rng = np.random.default_rng(4)
    truth = _kid(rng.normal(size=(4000, 2)), rng.normal(0.5, 1, size=(4000, 2)), bootstrap=0).value
    inside = 0
    for _ in range(100):
        a, b = rng.normal(size=(60, 2)), rng.normal(0.5, 1, size=(60, 2))
        low, high = _kid(a, b, bootstrap=200).interval or (0, 0)
        inside += low <= truth <= high
    assert inside >= 86


def test_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    centres = rng.normal(size=(20, 3)).repeat(5, axis=0)
    a, b = centres + 0.01 * rng.normal(size=(100, 3)), rng.normal(size=(100, 3))
    widths = []
    for names in (_names(100), _names(100, 5)):
        draw = np.random.default_rng(0)
        low, high = kernel_distance(a, b, names, _names(100), draw).interval or (0, 0)
        widths.append(high - low)
    assert widths[1] > 1.3 * widths[0]


def test_few_groups_have_no_interval() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    found = kernel_distance(a, b, _names(30, 10), _names(30), rng)
    assert found.interval is None
    assert found.value == pytest.approx(_kid(a, b).value)
    with pytest.raises(ValueError, match="two images"):
        _kid(a[:1], b)
