"""Gradient-boosted trees on binned features."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.learning.contract import FitCost, classifier


class HistGradientBoostingParams(BaseModel):
    """The number of rounds is fixed: nothing of the training side is held out to stop early."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_iter: int = Field(50, ge=1, le=2000, description="Rounds; one tree a class and round.")
    learning_rate: float = Field(0.1, gt=0, le=1.0, description="Shrinkage of each tree.")
    max_leaf_nodes: int = Field(15, ge=2, le=255, description="Leaves of a tree.")
    min_samples_leaf: int = Field(10, ge=1, le=10_000, description="Smallest leaf, in images.")
    l2_regularization: float = Field(1.0, ge=0, le=1e6, description="Penalty on leaf values.")
    max_features: float = Field(0.05, gt=0, le=1.0, description="Share of features tried at a cut.")


@classifier(
    "hist_gradient_boosting",
    params=HistGradientBoostingParams,
    weighting="the loss",
    cost=FitCost(fixed=6, image=0.0045),
    inner_cost=FitCost(fixed=2.5, image=0.0015),
    grid=[
        {"learning_rate": rate, "max_leaf_nodes": leaves, "min_samples_leaf": least}
        for rate, leaves, least in (
            (0.1, 15, 10),
            (0.05, 7, 10),
            (0.2, 7, 20),
            (0.1, 4, 20),
            (0.2, 15, 20),
            (0.05, 15, 20),
            (0.1, 7, 10),
            (0.1, 31, 5),
        )
    ],
    inner={"max_iter": 25},
    trusted=(
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    ),
)
def build(params: HistGradientBoostingParams, seed: int, _threads: int) -> Any:
    """Histogram gradient boosting (Friedman 2001; binned as in LightGBM).

    Threads are OpenMP's, which the job's process limits.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=params.max_iter,
        learning_rate=params.learning_rate,
        max_leaf_nodes=params.max_leaf_nodes,
        min_samples_leaf=params.min_samples_leaf,
        l2_regularization=params.l2_regularization,
        max_features=params.max_features,
        early_stopping=False,
        random_state=seed,
    )
