"""Vendi score: how many different images a set is worth, Friedman and Dieng 2022."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def vendi_score(features: NDArray[np.floating]) -> float:
    """Return the score of n x d features, 1 (all alike) to n (all orthogonal).

    The exponential of the entropy of the eigenvalues of K / n, K the cosine similarities. With n
    above d they are taken from the d x d matrix, which has the same ones but for zeros.
    """
    from scipy.linalg import eigvalsh

    x = np.asarray(features, np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    n, d = x.shape
    values = eigvalsh((x @ x.T if n <= d else x.T @ x) / n)
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))
