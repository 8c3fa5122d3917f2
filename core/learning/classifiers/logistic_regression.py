"""Multinomial logistic regression on standardised features."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.learning.contract import FitCost, classifier


class LogisticRegressionParams(BaseModel):
    """C is the inverse strength of the L2 penalty; max_iter bounds the L-BFGS iterations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    C: float = Field(0.1, gt=0, le=1e6, description="Inverse strength of the L2 penalty.")
    tol: float = Field(1e-4, gt=0, le=1.0, description="Stop when the gradient is below this.")
    max_iter: int = Field(2000, ge=1, le=100_000, description="Bound on L-BFGS iterations.")


@classifier(
    "logistic_regression",
    params=LogisticRegressionParams,
    weighting="the loss",
    cost=FitCost(fixed=0.05, image=0.0004),
    inner_cost=FitCost(fixed=0.05, image=0.00025),
    grid=[{"C": c} for c in (0.1, 1e-3, 1e-2, 1.0, 1e-4, 3e-3, 3e-2, 10.0)],
    inner={"tol": 1e-3},
    trusted=("core.learning.standardised.StandardisedLogisticRegression",),
)
def build(params: LogisticRegressionParams, seed: int, _threads: int) -> Any:
    """Logistic regression (L-BFGS, L2) on features scaled to mean 0 and deviation 1.

    The optimum is unique, so that the seed changes nothing; threads are those of the linear algebra
    library, which the job's process limits.
    """
    from core.learning.standardised import StandardisedLogisticRegression

    return StandardisedLogisticRegression(
        C=params.C, tol=params.tol, max_iter=params.max_iter, random_state=seed
    )
