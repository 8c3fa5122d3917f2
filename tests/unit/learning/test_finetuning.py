"""Training end to end: it learns, repeats, stops early, goes on after a stop and keeps its best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import JobCancelled, JobFailed
from core.features.contract import BACKBONES, Weights
from core.learning.classifiers.finetune import FinetuneParams
from core.learning.contract import CLASSIFIERS
from core.learning.course import drawn, turned
from core.learning.finetune_course import FinetuneCourse, shares
from core.learning.finetuning import Finetuned, held_out
from core.learning.fitting import ClassifierChoice, fit
from core.learning.pixels import PixelRows, Start, Unwatched, pixel_rows

SIZE = 32
COLOURS = np.array([(150, 90, 80), (90, 150, 80), (80, 90, 150)])
SMALL = {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3}


def _tiny(_: Weights | None) -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=2, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.2),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )


def start(backbone: str | None = None) -> Start:
    """Return a tiny untrained network, or one of the catalog as it is, for 32 pixels."""
    if backbone is not None:
        real = BACKBONES.get(backbone)
        return Start(replace(real, size=SIZE), real.find(Path("none")), "cpu")
    spec = replace(BACKBONES.get("resnet18"), size=SIZE, build=_tiny, dimension=8)
    return Start(spec, None, "cpu")


def planted(n: int, begin: Start, seed: int = 0) -> tuple[PixelRows, np.ndarray, np.ndarray]:
    """Return images of three colours under noise, their classes, and groups of two."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) // 2 % 3
    pixels = COLOURS[labels][:, None, None] + rng.normal(0, 40, (n, SIZE, SIZE, 3))
    rows = pixel_rows(pixels.clip(0, 255).astype(np.uint8), begin)
    return rows, labels, np.arange(n) // 2


def trained(
    rows: PixelRows, labels: np.ndarray, groups: np.ndarray, monitor: Any = None, **changes: Any
) -> Finetuned:
    params = FinetuneParams(**{**SMALL, **changes})
    return Finetuned(params, 7, 1).fit(rows, labels, None, groups, monitor)


def weights_of(model: Finetuned) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.network.state_dict().items()}


def same(a: Finetuned, b: Finetuned) -> bool:
    one, two = weights_of(a), weights_of(b)
    return all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("name", [None, "efficientnet_lite0"])
def test_planted_colours_are_learned(name: str | None) -> None:
    rows, labels, groups = planted(60, start(name))
    changes = {} if name is None else {"epochs": 8, "learning_rate": 1e-3}
    model = trained(rows, labels, groups, **changes)
    tests, truth, _ = planted(30, rows.start, seed=1)
    chances = model.predict_proba(tests)
    assert chances.shape == (30, 3)
    assert np.allclose(chances.sum(axis=1), 1)
    assert (chances.argmax(axis=1) == truth).mean() > 0.7
    assert np.array_equal(model.predict_proba(tests[4:5])[0], chances[4])


def test_the_registered_classifier_is_fitted_as_any_other() -> None:
    rows, labels, groups = planted(60, start())
    params = FinetuneParams(**SMALL).model_dump(mode="json")
    fitted = fit(ClassifierChoice("finetune", params), rows, labels + 1, None, 0, 1, groups)
    chances = fitted.probabilities(rows[:5], 4)
    assert chances.shape == (5, 4)
    assert not chances[:, 0].any()
    entry = CLASSIFIERS.get("finetune")
    assert (entry.sees, entry.grouped, dict(entry.of_arms)) == (
        "pixels",
        True,
        {"sampling": "as_given"},
    )


def test_the_same_seed_gives_the_same_weights() -> None:
    rows, labels, groups = planted(30, start())
    first = trained(rows, labels, groups)
    torch.manual_seed(99)
    assert same(first, trained(rows, labels, groups))
    other = Finetuned(FinetuneParams(**SMALL), 8, 1).fit(rows, labels, None, groups)
    assert not same(first, other)


class Stopping(Unwatched):
    """Keeps a checkpoint after every epoch and stops the training at a step."""

    def __init__(self, stop: int | None, kept: bytes | None = None) -> None:
        self.left = stop
        self.kept = kept
        self.steps: list[float] = []

    def step(self, done: float, total: float) -> None:
        assert done < total
        self.steps.append(done)
        if self.left is not None:
            if self.left == 0:
                raise JobCancelled("stopped")
            self.left -= 1

    def due(self) -> bool:
        return True

    def keep(self, state: bytes) -> None:
        self.kept = state

    def restored(self) -> bytes | None:
        return self.kept


@pytest.mark.parametrize("stop", [1, 5, 9, 11])
def test_a_stopped_training_goes_on_to_the_same_weights(stop: int) -> None:
    rows, labels, groups = planted(30, start())
    whole = trained(rows, labels, groups)
    first = Stopping(stop)
    with pytest.raises(JobCancelled):
        trained(rows, labels, groups, first)
    second = Stopping(None, first.kept)
    again = trained(rows, labels, groups, second)
    assert same(whole, again)
    assert whole.history == again.history
    if stop >= 5:
        assert second.steps[0] > 0, "it went on and did not begin anew"


def test_the_epoch_with_the_smallest_validation_loss_is_kept() -> None:
    """Labels without a pattern: what is learned after some epoch only makes it worse."""
    rows, labels, groups = planted(48, start())
    noise = np.random.default_rng(0).permutation(labels)
    model = trained(rows, noise, groups, epochs=30, patience=3, learning_rate=0.02)
    losses = model.history.losses
    assert model.history.best == int(np.argmin(losses)) + 1
    assert model.history.epochs == len(losses) == min(30, model.history.best + 3) < 30
    shorter = trained(
        rows, noise, groups, epochs=30, patience=model.history.epochs, learning_rate=0.02
    )
    assert shorter.history.losses[: len(losses)] == losses


def test_without_groups_to_hold_out_all_epochs_are_run() -> None:
    rows, labels, _ = planted(12, start())
    model = trained(rows, labels, labels, validation=0.1, patience=1)
    assert model.history.validation_images == 0
    assert (model.history.epochs, model.history.best, model.history.losses) == (4, 4, [])


def test_a_training_that_diverges_says_so() -> None:
    begin = start()
    spec = replace(begin.backbone, std=(0.0, 0.5, 0.5))
    rows, labels, groups = planted(12, Start(spec, None, "cpu"))
    with pytest.raises(JobFailed, match="learning_rate") as caught:
        trained(rows, labels, groups)
    assert caught.value.code == "training_diverged"


def test_a_validation_loss_that_is_no_number_is_not_taken_for_a_bad_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network that was never remembered would be the one from before the training."""
    monkeypatch.setattr(FinetuneCourse, "held_loss", lambda _: float("nan"))
    with pytest.raises(JobFailed, match="validation loss of epoch 1") as caught:
        trained(*planted(24, start()), validation=0.25)
    assert caught.value.code == "training_diverged"


def test_two_images_are_enough_to_run() -> None:
    rows, _, _ = planted(2, start())
    model = trained(rows, np.array([0, 1]), np.array([0, 1]))
    assert np.isfinite(model.predict_proba(rows)).all()
    assert model.predict_proba(rows[:0]).shape == (0, 2)


def test_weights_say_how_often_an_image_is_drawn() -> None:
    labels = np.array([0, 0, 0, 1])
    ones = np.ones(4)
    assert shares(labels, ones, balanced=False).tolist() == [0.25] * 4
    assert shares(labels, ones, balanced=True).tolist() == pytest.approx([1 / 6] * 3 + [0.5])
    heavy = shares(labels, np.array([2.0, 1.0, 1.0, 1.0]), balanced=True)
    assert heavy.tolist() == pytest.approx([0.25, 0.125, 0.125, 0.5])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0.01, 10), min_size=1, max_size=30),
    st.integers(1, 200),
    st.integers(0, 2**32 - 1),
)
def test_draws_have_their_portions(weights: list[float], count: int, seed: int) -> None:
    portions = np.array(weights) / sum(weights)
    rows = drawn(portions, count, np.random.default_rng(seed))
    counts = np.bincount(rows, minlength=len(weights))
    assert counts.sum() == count
    assert (np.abs(counts - count * portions) < 1 + 1e-6).all()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=2, max_size=60),
    st.floats(0.05, 0.5),
    st.integers(0, 99),
)
def test_held_out_groups_are_whole_and_leave_every_class(
    rows: list[tuple[int, int]], share: float, seed: int
) -> None:
    labels = np.array([label for label, _ in rows])
    groups = np.array([group for _, group in rows])
    held = held_out(labels, groups, share, seed)
    assert set(labels[~held]) == set(labels)
    assert not set(groups[held]) & set(groups[~held])


def test_turns_keep_the_pixels_and_show_all_views() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), dtype=np.uint8)
    many = turned(pixels.repeat(200, axis=0), np.random.default_rng(1))
    assert len({image.tobytes() for image in many}) == 8
    assert (np.sort(many.reshape(200, -1)) == np.sort(pixels.reshape(1, -1))).all()


def test_rows_are_indexed_without_reading() -> None:
    rows, _, _ = planted(10, start())
    kept = rows[np.arange(10) % 2 == 0][[1, 1, 0]]
    assert len(kept) == 3
    assert kept.rows.tolist() == [2, 2, 0]
    assert np.array_equal(kept.read(slice(1, 3)), rows.squares[[2, 0]])
