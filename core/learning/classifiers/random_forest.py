"""Random forest with the settings of the course project."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.learning.contract import FitCost, classifier


class RandomForestParams(BaseModel):
    """Defaults are scikit-learn's, as the course project used them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_estimators: int = Field(100, ge=1, le=5000, description="Number of trees.")
    max_depth: int | None = Field(None, ge=1, le=1000, description="None: until leaves are pure.")
    min_samples_leaf: int = Field(1, ge=1, le=10_000, description="Smallest leaf, in images.")
    max_features: Literal["sqrt", "log2"] | None = Field(
        "sqrt", description="Features tried at each cut; null: all."
    )
    random_state: int | None = Field(
        None, ge=0, le=2**32 - 1, description="Fixed state of the forest; null: the job's seed."
    )


@classifier(
    "random_forest",
    params=RandomForestParams,
    weighting="the cuts and the leaves",
    cost=FitCost(fixed=0.15, image=0.0019),
    inner_cost=FitCost(fixed=0.04, image=0.00022),
    grid=[
        {"max_features": tried, "min_samples_leaf": least}
        for tried, least in (
            ("sqrt", 1),
            ("log2", 1),
            ("sqrt", 5),
            ("log2", 5),
            ("sqrt", 2),
            ("log2", 10),
            ("sqrt", 10),
            ("log2", 2),
        )
    ],
    inner={"n_estimators": 20},
    trusted=("sklearn.tree._tree.Tree",),
)
def build(params: RandomForestParams, seed: int, threads: int) -> Any:
    """Random forest of 100 trees (Breiman 2001)."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(
        n_estimators=params.n_estimators,
        max_depth=params.max_depth,
        min_samples_leaf=params.min_samples_leaf,
        max_features=params.max_features,
        random_state=seed if params.random_state is None else params.random_state,
        n_jobs=threads,
    )
