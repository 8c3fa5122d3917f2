"""Nearest neighbours among the training images."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.learning.contract import FitCost, classifier


class KnnParams(BaseModel):
    """Distances are cosine distances of feature vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_neighbors: int = Field(15, ge=1, le=10_000, description="Images that vote.")
    weights: Literal["uniform", "distance"] = Field(
        "distance", description="Whether a nearer image has more votes."
    )


@classifier(
    "knn",
    params=KnnParams,
    weighting="the votes: nothing is learned, a neighbour counts its weight",
    cost=FitCost(fixed=0.0, image=5e-05),
    inner_cost=FitCost(fixed=0.0, image=5e-05),
    grid=[
        {"n_neighbors": k, "weights": votes}
        for k, votes in (
            (15, "distance"),
            (5, "distance"),
            (30, "distance"),
            (9, "uniform"),
            (1, "uniform"),
            (25, "uniform"),
            (3, "distance"),
            (60, "distance"),
        )
    ],
    trusted=("core.learning.weighted_neighbours.WeightedNeighbours",),
    caution="The model file holds the feature vectors of all its training images: share it only "
    "with those who may see what can be inferred from them.",
)
def build(params: KnnParams, _seed: int, threads: int) -> Any:
    """Nearest neighbours by cosine distance, votes weighted (Fix and Hodges 1951).

    Nothing is drawn: the seed changes nothing.
    """
    from core.learning.weighted_neighbours import WeightedNeighbours

    return WeightedNeighbours(
        n_neighbors=params.n_neighbors, weights=params.weights, n_jobs=threads
    )
