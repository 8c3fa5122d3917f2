"""Logistic regression on standardised features that is used on raw ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.linear_model import LogisticRegression


class StandardisedLogisticRegression(LogisticRegression):  # type: ignore[misc]
    """Fits on features scaled to mean 0 and deviation 1, then folds the scaling into its weights.

    Mean and deviation come from the rows given to ``fit`` alone (rows x features, any float type);
    constant features are only centred. The folded weights are float64.
    """

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> StandardisedLogisticRegression:
        rows = np.asarray(X)
        mean = rows.mean(axis=0, dtype=np.float64)
        scale = rows.std(axis=0, dtype=np.float64)
        scale[scale <= 10 * np.finfo(np.float32).eps * np.maximum(np.abs(mean), 1e-30)] = 1.0
        scaled = ((rows - mean) / scale).astype(rows.dtype, copy=False)
        super().fit(scaled, y, sample_weight=sample_weight)
        self.coef_: Any = self.coef_.astype(np.float64) / scale
        self.intercept_: Any = self.intercept_.astype(np.float64) - self.coef_ @ mean
        return self
