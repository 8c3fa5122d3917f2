"""Processor seconds of a classifier's fits against the cost that its registration declares.

The declared cost is what ``validate_only`` of an experiment adds up; a row fails when it is off by
more than a factor of two at either size.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.features.contract import BACKBONES, Backbone
from core.learning.contract import CLASSIFIERS, COST_BACKBONE
from core.learning.finetuning import relative_cost, trainable
from core.learning.fitting import ClassifierChoice, fit
from core.learning.pixels import Start, pixel_rows
from tests.bench.measure import Row

DIMENSION = 1280
DIRECTIONS = 400
SHARES = (0.545, 0.16, 0.136, 0.072, 0.05, 0.021, 0.016)
SIZES = (600, 3000)
CANDIDATES = 4
"""The default budget of an experiment."""
PIXEL_IMAGES = 64
TESTED = 0.25
"""Test images per training image of a fold."""


def drawn(count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features and classes on which solvers need as many steps as on those of photographs.

    400 directions whose scale falls with the square root of their rank; more than half of the
    values are 0, as behind a ReLU.
    """
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(7), rng.choice(7, count - 7, p=SHARES)])
    shape = np.random.default_rng(1)
    scale = np.arange(1, DIRECTIONS + 1) ** -0.5
    centres = shape.normal(0, 0.15, (7, DIRECTIONS))
    spread = shape.normal(0, 1, (DIRECTIONS, DIMENSION)) * scale[:, None]
    hidden = centres[labels] + rng.normal(0, 1, (count, DIRECTIONS))
    values = hidden @ spread / np.sqrt((scale**2).sum())
    values += rng.normal(0, 0.1, values.shape) - 0.2
    return np.maximum(0, values).astype(np.float32), labels.astype(np.int64)


def seconds(name: str, count: int) -> tuple[float, float]:
    """Return processor seconds of a fit and the mean ones of a fit of tuning, with predictions."""
    entry = CLASSIFIERS.get(name)
    rows, labels = drawn(count)
    tests, _ = drawn(max(7, int(count * TESTED)), seed=2)
    whole = entry.params().model_dump(mode="json")
    inner = [whole | dict(found) | dict(entry.inner) for found in entry.grid[:CANDIDATES]]
    final = _processor(name, whole, rows, labels, tests)
    return final, float(np.mean([_processor(name, found, rows, labels, tests) for found in inner]))


def _processor(
    name: str,
    params: Mapping[str, Any],
    rows: NDArray[np.float32],
    labels: NDArray[np.int64],
    tests: NDArray[np.float32],
) -> float:
    choice = ClassifierChoice(name, dict(params))
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(choice, rows, labels, None, 0, 1, np.arange(len(rows)))
    fitted.probabilities(tests, 7)
    return time.process_time() - start


def cost(name: str, _full: bool) -> Row:
    """Compare the declared cost of a classifier with its fits at both sizes."""
    entry = CLASSIFIERS.get(name)
    seconds(name, SIZES[0])  # loads the libraries
    ratios, told = [], []
    for count in SIZES:
        final, inner = seconds(name, count)
        ratios += [entry.cost.seconds(count) / final, entry.inner_cost.seconds(count) / inner]
        told.append(f"{count} images: fit {final:.3g} s, of tuning {inner:.3g} s")
    worst = max(ratios, key=lambda ratio: abs(np.log(ratio)))
    return Row(
        f"fit_{name}",
        entry.cost.seconds(SIZES[-1]),
        "s",
        "; ".join(told),
        float(worst),
        "0.5-2x",
        bool(0.5 <= worst <= 2),
    )


def pixel_cost(name: str, full: bool) -> Row:
    """Compare the declared cost of training a network with epochs; ``full``: of every backbone."""
    entry = CLASSIFIERS.get(name)
    whole = entry.params().model_dump(mode="json")
    ratios, told = [], []
    for backbone in trainable() if full else [COST_BACKBONE]:
        measured = _epoch(name, BACKBONES.get(backbone), whole) * whole["epochs"]
        ratios.append(entry.cost.image * relative_cost(backbone) / measured)
        told.append(f"{backbone}: {measured:.3g} s an image")
    worst = max(ratios, key=lambda ratio: abs(np.log(ratio)))
    return Row(
        f"fit_{name}",
        entry.cost.image,
        "s/image",
        f"{whole['epochs']} epochs of {'; '.join(told)}",
        float(worst),
        "0.5-2x",
        bool(0.5 <= worst <= 2),
    )


def _epoch(name: str, backbone: Backbone, whole: Mapping[str, Any]) -> float:
    """Return processor seconds an image and epoch, of a network with random weights."""
    shape = (PIXEL_IMAGES, backbone.size, backbone.size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    rows = pixel_rows(pixels, Start(backbone, None, "cpu"))
    labels = np.arange(PIXEL_IMAGES, dtype=np.int64) % 7

    def epochs(count: int) -> float:
        choice = ClassifierChoice(name, {**whole, "epochs": count, "patience": count})
        start = time.process_time()
        fit(choice, rows, labels, None, 0, 1, np.arange(PIXEL_IMAGES))
        return time.process_time() - start

    epochs(1)  # loads the libraries
    return (epochs(3) - epochs(1)) / 2 / PIXEL_IMAGES


ROWS: dict[str, Callable[[bool], Row]] = {
    f"fit_{name}": partial(cost if entry.sees == "features" else pixel_cost, name)
    for name, entry in CLASSIFIERS
}
