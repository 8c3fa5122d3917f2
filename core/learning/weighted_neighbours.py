"""Nearest neighbours whose votes carry the weights of the images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import NearestNeighbors


class WeightedNeighbours(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Exact nearest neighbours by cosine distance; a neighbour's vote counts its sample weight.

    With ``weights="distance"`` the vote is divided by the distance as well. Fewer training rows
    than ``n_neighbors``: all of them vote.
    """

    def __init__(
        self, n_neighbors: int = 15, weights: str = "uniform", n_jobs: int | None = None
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.n_jobs = n_jobs

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> WeightedNeighbours:
        """Keep the rows at unit length; a row of zeros stays one and is near to nothing."""
        rows = _unit(np.asarray(X))
        self.classes_, self.labels_ = np.unique(np.asarray(y), return_inverse=True)
        self.rows_ = rows
        self.votes_ = (
            np.ones(len(rows))
            if sample_weight is None
            else np.asarray(sample_weight, dtype=np.float64)
        )
        self.n_features_in_ = rows.shape[1]
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return each class's share of the votes, rows x classes."""
        index = NearestNeighbors(
            n_neighbors=min(self.n_neighbors, len(self.rows_)),
            algorithm="brute",
            n_jobs=self.n_jobs,
        ).fit(self.rows_)
        distances, near = index.kneighbors(_unit(np.asarray(X)))
        votes = self.votes_[near]
        if self.weights == "distance":
            votes = votes / np.maximum(distances, 1e-6)
        shares = np.zeros((len(near), len(self.classes_)))
        for place in range(near.shape[1]):
            shares[np.arange(len(near)), self.labels_[near[:, place]]] += votes[:, place]
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class with most votes of each row, the first one on a tie."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    length = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.asarray(rows / np.where(length > 0, length, 1.0)).astype(np.float32)
