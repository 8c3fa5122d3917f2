"""What every registered classifier promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.svm import LinearSVC

from core.errors import JobFailed
from core.learning.calibrated_svm import CalibratedLinearSVM
from core.learning.classifiers.knn import KnnParams
from core.learning.cohort import training_groups
from core.learning.contract import CLASSIFIERS, GRID_SIZE, FitCost, classifier
from core.learning.fitting import ClassifierChoice, Fitted, fit
from core.learning.model_file import dump_estimator, load_model
from core.learning.standardised import standardise
from core.learning.weighted_neighbours import WeightedNeighbours
from tests.unit.learning.made_up import record, synthetic
from tests.unit.learning.test_model_file import info_of, stored

NAMES = [name for name, entry in CLASSIFIERS if entry.sees == "features"]
RNG = np.random.default_rng(0)
CENTRES = RNG.normal(0, 1.5, size=(3, 12))
Y = np.repeat([0, 1, 2], 50).astype(np.int64)
X = (CENTRES[Y] + RNG.normal(size=(150, 12)) * np.linspace(0.5, 3, 12)).astype(np.float32)


def fitted(
    name: str,
    rows: NDArray[np.float32] = X,
    labels: NDArray[np.int64] = Y,
    weights: NDArray[np.float64] | None = None,
    threads: int = 1,
    **params: Any,
) -> Fitted:
    tied = np.arange(len(rows))
    return fit(ClassifierChoice(name, params), rows, labels, weights, 3, threads, tied)


def test_the_registry_holds_the_six() -> None:
    assert set(NAMES) >= {
        "hist_gradient_boosting",
        "knn",
        "linear_svm",
        "logistic_regression",
        "mlp",
        "random_forest",
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_and_gives_probabilities(name: str) -> None:
    model = fitted(name, X[::2], Y[::2])
    chances = model.probabilities(X[1::2], 3)
    assert chances.shape == (75, 3)
    assert chances.min() >= 0
    assert np.allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert (chances.argmax(axis=1) == Y[1::2]).mean() > 0.85
    assert model.converged


@pytest.mark.parametrize("name", NAMES)
def test_weights_move_the_decision(name: str) -> None:
    blurred = (X + RNG.normal(0, 4, X.shape)).astype(np.float32)
    weights = np.where(Y == 1, 9.0, 1.0)
    plain = fitted(name, blurred).probabilities(blurred + 1, 3)[:, 1].mean()
    heavy = fitted(name, blurred, weights=weights).probabilities(blurred + 1, 3)[:, 1].mean()
    assert heavy > plain + 0.02


@pytest.mark.parametrize("name", NAMES)
def test_seed_and_data_fix_the_fit_for_any_number_of_threads(name: str) -> None:
    one, two = (fitted(name, threads=threads).probabilities(X, 3) for threads in (1, 2))
    assert (one == two).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 3])
def test_it_comes_back_from_its_file(name: str, classes: int, tmp_path: Path) -> None:
    kept = classes > Y
    estimator = fitted(name, X[kept], Y[kept]).estimator
    data = dump_estimator(estimator)
    again, _ = load_model(*stored(tmp_path, data, info_of(data, name)))
    assert (again.predict_proba(X) == estimator.predict_proba(X)).all()
    assert (again.predict(X) == estimator.predict(X)).all()
    assert again.n_features_in_ == 12


@pytest.mark.parametrize("name", NAMES)
def test_two_images_are_enough(name: str) -> None:
    model = fitted(name, X[[0, 149]], Y[[0, 149]])
    chances = model.probabilities(X[:5], 3)
    assert np.allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert not chances[:, 1].any()


@pytest.mark.parametrize("name", NAMES)
def test_one_class_is_always_said(name: str) -> None:
    chances = fitted(name, X[:4], Y[:4] + 2).probabilities(X, 3)
    assert (chances == [0, 0, 1]).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(name: str, value: float) -> None:
    broken = X.copy()
    broken[7, 3] = value
    with pytest.raises(JobFailed, match="row 7") as caught:
        fitted(name, broken)
    assert caught.value.code == "features_not_finite"
    with pytest.raises(JobFailed, match="row 7"):
        fitted(name).probabilities(broken, 3)


@pytest.mark.parametrize("name", NAMES)
def test_constant_and_repeated_features_do_no_harm(name: str) -> None:
    rows = np.hstack([X, np.full((150, 1), 7, dtype=np.float32), X[:, :1]])
    assert np.isfinite(fitted(name, rows).probabilities(rows, 3)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_grid_is_one_of_equal_budgets(name: str) -> None:
    entry = CLASSIFIERS.get(name)
    assert len(entry.grid) == GRID_SIZE
    assert {tuple(sorted(candidate)) for candidate in entry.grid} == {entry.tuned}
    default = entry.params().model_dump()
    assert entry.grid[0] == {key: default[key] for key in entry.tuned}, "the first is the default"


FREE = FitCost(0.0, 0.0)


def test_a_grid_of_another_size_or_with_repeats_is_refused() -> None:
    ks = [{"n_neighbors": k} for k in range(1, GRID_SIZE + 1)]
    for grid in (ks[:-1], ks[:-1] + ks[:1]):
        with pytest.raises(ValueError, match="different candidates"):
            classifier("x", params=KnnParams, weighting="", cost=FREE, inner_cost=FREE, grid=grid)
    with pytest.raises(ValidationError):
        classifier(
            "x",
            params=KnnParams,
            weighting="",
            cost=FREE,
            inner_cost=FREE,
            grid=[*ks[:-1], {"k": 1}],
        )
    with pytest.raises(ValueError, match="inner fits fix"):
        classifier(
            "x",
            params=KnnParams,
            weighting="",
            cost=FREE,
            inner_cost=FREE,
            grid=ks,
            inner={"n_neighbors": 3},
        )


def test_the_svm_solves_the_problem_of_liblinear() -> None:
    machine = CalibratedLinearSVM(C=0.01, tol=1e-8).fit(X, Y)
    scaled, _, _ = standardise(X.astype(np.float64))
    # a large intercept_scaling leaves liblinear's intercept as good as unpenalised
    theirs = LinearSVC(C=0.01, dual=False, tol=1e-10, intercept_scaling=1e3).fit(scaled, Y)
    assert np.allclose(machine.decision_function(X), theirs.decision_function(scaled), atol=2e-3)


def test_the_svm_is_calibrated_on_groups_that_it_did_not_learn() -> None:
    """Copies of a noise image tell a machine everything, unless they are held out together."""
    rng = np.random.default_rng(5)
    labels = np.repeat(rng.permutation(np.repeat([0, 1], 30)), 4)
    rows = np.repeat(rng.normal(size=(60, 200)), 4, axis=0).astype(np.float32)
    blind = CalibratedLinearSVM(C=1.0).fit(rows, labels)
    grouped = CalibratedLinearSVM(C=1.0).fit(rows, labels, groups=np.repeat(np.arange(60), 4))
    assert grouped.calibration_folds_ == 3
    fresh = rng.normal(size=(400, 200)).astype(np.float32)
    sure = [m.predict_proba(fresh).max(axis=1).mean() for m in (blind, grouped)]
    assert sure[1] < 0.62 < sure[0]


def test_the_svm_without_groups_to_hold_out_says_so() -> None:
    assert CalibratedLinearSVM().fit(X[[0, 149]], Y[[0, 149]]).calibration_folds_ == 0


def test_neighbours_vote_with_their_weight() -> None:
    rows = np.array([[1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
    model = WeightedNeighbours(n_neighbors=2).fit(rows, [0, 1, 1], sample_weight=[3.0, 1.0, 1.0])
    assert model.predict_proba(rows[:1]).tolist() == [[0.75, 0.25]]
    assert model.predict(np.zeros((1, 2), dtype=np.float32)).shape == (1,)


def test_a_synthetic_image_is_held_out_with_its_first_group() -> None:
    real = [record("a", "x", ("g1", "g2")), record("b", "x", "g2"), record("c", "x", "g3")]
    made = synthetic("s", real[2], group_ids=("g3", "g1"))
    second = synthetic("u", real[0], group_ids=("g2",))
    free = synthetic("t", real[2], group_ids=())
    groups = training_groups([*real, made, free, second]).tolist()
    assert groups[0] == groups[1] == groups[5] != groups[2] == groups[3]
    assert len(set(groups)) == 3
