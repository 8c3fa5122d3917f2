"""Linear support vector machine with calibrated probabilities."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from core.learning.contract import FitCost, classifier


class LinearSvmParams(BaseModel):
    """C weighs the squared hinge loss against the L2 penalty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    C: float = Field(1e-3, gt=0, le=1e4, description="Weight of the loss against the L2 penalty.")
    tol: float = Field(1e-3, gt=0, le=1.0, description="Stop when the gradient is below this.")
    max_iter: int = Field(2000, ge=1, le=100_000, description="Bound on L-BFGS iterations.")


@classifier(
    "linear_svm",
    params=LinearSvmParams,
    weighting="the loss of the machine and of its calibration",
    cost=FitCost(fixed=0.1, image=0.0019),
    inner_cost=FitCost(fixed=0.1, image=0.0019),
    grid=[{"C": c} for c in (1e-3, 1e-4, 1e-2, 1e-5, 0.1, 3e-4, 3e-3, 1.0)],
    trusted=("core.learning.calibrated_svm.CalibratedLinearSVM",),
    grouped=True,
)
def build(params: LinearSvmParams, _seed: int, _threads: int) -> Any:
    """Linear SVM on scaled features, probabilities calibrated on held-out groups.

    Nothing is drawn: the seed changes nothing. Threads are those of the linear algebra library.
    """
    from core.learning.calibrated_svm import CalibratedLinearSVM

    return CalibratedLinearSVM(C=params.C, tol=params.tol, max_iter=params.max_iter)
