"""Estimators on standardised features that are used on raw ones.

Mean and deviation come from the rows given to ``fit`` alone; they are then folded into the first
linear map, so that the fitted model holds no scaler and takes features as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier


def standardise(
    rows: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
    """Return rows (images x features) at mean 0 and deviation 1, the mean and the deviation.

    Constant features are only centred: their deviation is given as 1.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    scale = rows.std(axis=0, dtype=np.float64)
    scale[scale <= 10 * np.finfo(np.float32).eps * np.maximum(np.abs(mean), 1e-30)] = 1.0
    return ((rows - mean) / scale).astype(rows.dtype, copy=False), mean, scale


class StandardisedLogisticRegression(LogisticRegression):  # type: ignore[misc]
    """Logistic regression whose folded weights are float64."""

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> StandardisedLogisticRegression:
        scaled, mean, scale = standardise(np.asarray(X))
        super().fit(scaled, y, sample_weight=sample_weight)
        self.coef_: Any = self.coef_.astype(np.float64) / scale
        self.intercept_: Any = self.intercept_.astype(np.float64) - self.coef_ @ mean
        return self


class StandardisedMLP(MLPClassifier):  # type: ignore[misc]
    """Multi-layer perceptron; the optimiser's state is dropped when the fit is done."""

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> StandardisedMLP:
        scaled, mean, scale = standardise(np.asarray(X))
        super().fit(scaled, y, sample_weight=sample_weight)
        first = self.coefs_[0].astype(np.float64) / scale[:, None]
        self.intercepts_[0] = self.intercepts_[0].astype(np.float64) - mean @ first
        self.coefs_[0] = first
        for state in ("_optimizer", "_random_state", "_no_improvement_count"):
            self.__dict__.pop(state, None)
        return self
