"""One fit: classes that are missing, priors, warnings."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.errors import JobFailed
from core.learning.fitting import ClassifierChoice, Fitted, fit, prior_corrected

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype(np.float32)
ALONE = np.arange(120)
Y = (X[:, 0] + RNG.normal(0, 0.5, 120) > 0).astype(np.int64)


def test_logistic_regression_is_scaler_and_sklearn() -> None:
    scaled = X * np.array([1, 100, 0.01, 1, 1, 0], dtype=np.float32) + 5
    ours = fit(ClassifierChoice("logistic_regression", {"C": 0.1}), scaled, Y, None, 0, 1, ALONE)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    reference = theirs.fit(scaled.astype(np.float64), Y).predict_proba(scaled.astype(np.float64))
    assert np.allclose(ours.probabilities(scaled, 2), reference, atol=1e-4)


def test_classes_that_were_not_trained_have_probability_zero() -> None:
    fitted = fit(ClassifierChoice("random_forest", {}), X, Y * 2, None, 0, 1, ALONE)
    chances = fitted.probabilities(X, 4)
    assert not chances[:, [1, 3]].any()
    assert np.allclose(chances.sum(axis=1), 1)


def test_a_single_class_is_always_said() -> None:
    fitted = fit(ClassifierChoice("logistic_regression", {}), X, np.full(120, 1), None, 0, 1, ALONE)
    assert (fitted.probabilities(X[:3], 3) == [[0, 1, 0]] * 3).all()


def test_an_iteration_limit_is_told_not_hidden() -> None:
    choice = ClassifierChoice("logistic_regression", {"max_iter": 1})
    assert not fit(choice, X, Y, None, 0, 1, ALONE).converged
    assert fit(ClassifierChoice("logistic_regression", {}), X, Y, None, 0, 1, ALONE).converged


def test_prior_correction_divides_and_renormalises() -> None:
    chances = np.array([[0.9, 0.1, 0.0]], dtype=np.float32)
    corrected = prior_corrected(chances, np.array([0.9, 0.1, 0.0]))
    assert corrected[0].tolist() == pytest.approx([0.5, 0.5, 0.0])


class _Overflowed:
    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return np.full((len(rows), 2), np.nan)


def test_probabilities_that_are_no_numbers_do_not_pass_for_an_arm_that_was_not_run() -> None:
    with pytest.raises(JobFailed, match="_Overflowed") as caught:
        Fitted(_Overflowed(), np.array([0, 1]), True).probabilities(X, 2)
    assert caught.value.code == "predictions_not_finite"
