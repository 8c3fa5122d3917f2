"""A fold's fits: classes that are missing, priors, warnings."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.learning.arms import parse_arms
from core.learning.cohort import cohort
from core.learning.contract import CLASSIFIERS
from core.learning.fitting import ClassifierChoice, FoldTask, fit, prior_corrected, run_fold
from tests.unit.learning.made_up import loader, noise, record

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(0, 0.5, 120) > 0).astype(np.int64)


def test_logistic_regression_is_scaler_and_sklearn() -> None:
    scaled = X * np.array([1, 100, 0.01, 1, 1, 0], dtype=np.float32) + 5
    ours = fit(ClassifierChoice("logistic_regression", {"C": 0.1}), scaled, Y, None, 0, 1)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    reference = theirs.fit(scaled.astype(np.float64), Y).predict_proba(scaled.astype(np.float64))
    assert np.allclose(ours.probabilities(scaled, 2), reference, atol=1e-4)


@pytest.mark.parametrize("name", CLASSIFIERS.names())
def test_weights_count_like_repeats(name: str) -> None:
    params = {"n_estimators": 400} if name == "random_forest" else {"tol": 1e-8}
    weights = np.where(Y == 1, 9.0, 1.0)
    choice = ClassifierChoice(name, params)
    plain = fit(choice, X, Y, None, 0, 1).probabilities(X, 2)[:, 1].mean()
    heavy = fit(choice, X, Y, weights, 0, 1).probabilities(X, 2)[:, 1].mean()
    assert heavy > plain


@pytest.mark.parametrize("name", CLASSIFIERS.names())
def test_the_seed_fixes_the_fit(name: str) -> None:
    choice = ClassifierChoice(name, {})
    one, two = (fit(choice, X, Y, None, 3, threads).probabilities(X, 2) for threads in (1, 2))
    assert (one == two).all()


def test_classes_that_were_not_trained_have_probability_zero() -> None:
    fitted = fit(ClassifierChoice("random_forest", {}), X, Y * 2, None, 0, 1)
    chances = fitted.probabilities(X, 4)
    assert not chances[:, [1, 3]].any()
    assert np.allclose(chances.sum(axis=1), 1)


def test_a_single_class_is_always_said() -> None:
    fitted = fit(ClassifierChoice("logistic_regression", {}), X, np.full(120, 1), None, 0, 1)
    assert (fitted.probabilities(X[:3], 3) == [[0, 1, 0]] * 3).all()


def test_an_iteration_limit_is_told_not_hidden() -> None:
    choice = ClassifierChoice("logistic_regression", {"max_iter": 1})
    assert not fit(choice, X, Y, None, 0, 1).converged
    assert fit(ClassifierChoice("logistic_regression", {}), X, Y, None, 0, 1).converged


def test_prior_correction_divides_and_renormalises() -> None:
    chances = np.array([[0.9, 0.1, 0.0]], dtype=np.float32)
    corrected = prior_corrected(chances, np.array([0.9, 0.1, 0.0]))
    assert corrected[0].tolist() == pytest.approx([0.5, 0.5, 0.0])


def test_an_arm_without_images_has_no_predictions_and_notes_it() -> None:
    real = [record(f"{c}{i}", c, f"{c}{i}") for c in "ab" for i in range(10)]
    vectors = noise([r.image_id.removeprefix("img_") for r in real], 3)
    members = cohort(real)
    test = np.arange(0, 20, 4)
    train = np.setdiff1d(np.arange(20), test)
    arms = parse_arms(["real", "synthetic"])
    choice = [ClassifierChoice("logistic_regression", {})]
    task = FoldTask(members, train, test, [], arms, choice, 0, 0, 1)
    ticks: list[float] = []
    outcome = run_fold(task, loader(vectors), lambda done, total: ticks.append(done / total))
    assert [b.arm for b in outcome.blocks] == ["real"]
    assert outcome.training["synthetic"] == {"a": 0, "b": 0}
    assert any("synthetic" in note for note in outcome.notes)
    assert ticks == [0.5, 1.0]
